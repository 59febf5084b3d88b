"""Lints a folder of contracts: files come in as bytes, and findings go out, without I/O and without a clock."""
