"""Exports for other teams: the published files and what is made from them, as a reproducible tarball."""
