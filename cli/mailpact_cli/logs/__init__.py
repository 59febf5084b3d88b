"""`mailpact logs …`: the log records of all services, one file a command."""
