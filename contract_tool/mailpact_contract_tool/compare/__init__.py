"""Compares two schemas: whether one accepts whatever the other one accepts, with a proof or a document."""
