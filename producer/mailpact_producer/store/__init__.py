"""The CMS's tables, and the statements on them; each function works inside a transaction that the caller has begun."""
