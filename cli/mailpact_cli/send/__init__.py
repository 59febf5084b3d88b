"""`mailpact send`: publishes one message, to try out a mail server, a template or a consumer."""
