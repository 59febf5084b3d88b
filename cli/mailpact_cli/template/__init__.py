"""`mailpact template`: what a writer of templates does with them."""
