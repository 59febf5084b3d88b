"""The HTTP API, compatible with Mailpit's v1."""
