"""First-party adapters: one package for each industry, channel or system. They import gateway.sdk only."""
