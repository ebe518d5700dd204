"""For plugin authors' tests: a context for an adapter, simulators as processes, fault injection."""
