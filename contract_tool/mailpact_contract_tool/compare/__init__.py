"""Compares two schemas: whether one accepts all documents of the other, with a proof or a document."""
