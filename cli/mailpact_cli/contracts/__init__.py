"""`mailpact contracts …`: the contract tool, one file a command, on the installed contracts or on `--contracts DIR`."""
