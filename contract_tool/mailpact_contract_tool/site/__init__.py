"""The documentation site that is made from the contracts: pages are values, Sphinx makes HTML of them."""
