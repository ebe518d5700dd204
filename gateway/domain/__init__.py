"""The language of the gateway: frozen values, outcomes and errors. No I/O; the standard library only."""
