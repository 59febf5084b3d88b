"""Mailpact: contract-first e-mail over a message queue."""
