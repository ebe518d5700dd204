"""A real Tryton, installed and started as processes of its own: for the conformance suite and for the tests."""
