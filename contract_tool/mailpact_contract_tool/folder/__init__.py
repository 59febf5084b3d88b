"""Reads and writes a folder of contracts: its layout, its documents and their forms."""
