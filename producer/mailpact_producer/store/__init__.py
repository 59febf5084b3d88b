"""What the CMS keeps: readers, pages, the outbox, and the key of its form tokens."""
