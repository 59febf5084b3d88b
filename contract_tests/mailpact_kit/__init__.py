"""The conformance kit: verifies any program, in any language, against the published contracts, from outside."""
