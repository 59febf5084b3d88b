"""`mailpact dead`: the operator's commands for dead letters."""
