"""Compares published versions of a contract: schemas, bindings, topology and error codes."""
