"""The documentation site of the contracts. Pages are values; Sphinx renders them as HTML."""
