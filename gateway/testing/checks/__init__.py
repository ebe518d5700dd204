"""What the conformance suite tries, a module a rule or two."""
