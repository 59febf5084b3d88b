"""The looks and the HTTP headers that every web page of Mailpact shares; no room owns them."""
