"""Lints a folder of contracts: files as bytes come in, findings go out; nothing here does I/O or asks the time."""
