"""What other teams take: the published files and what is made from them, as one tarball that never differs."""
