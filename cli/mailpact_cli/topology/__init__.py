"""`mailpact topology …`: the exchanges and queues of the contracts, one file a command."""
