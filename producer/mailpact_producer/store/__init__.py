"""The site's tables, and the statements on them; each function needs a transaction that the caller has begun."""
