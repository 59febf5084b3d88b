"""Lints a folder of contracts: files as bytes go in, findings come out; nothing here reads, writes or asks the time."""

from mailpact.contracts.lint.folder import lint
from mailpact.contracts.lint.rules import Finding, Rule

__all__ = ["Finding", "Rule", "lint"]
