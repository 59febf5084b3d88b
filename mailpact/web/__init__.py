"""The stylesheet and the HTTP headers that all web pages of Mailpact share."""
