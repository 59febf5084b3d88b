"""The web pages of the site."""
