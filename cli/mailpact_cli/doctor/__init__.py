"""`mailpact doctor`: finds misconfigurations and says what to do."""
