"""Plans the next version of a contract."""
