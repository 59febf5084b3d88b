"""`mailpact status` without an id: the whole system on one screen."""
