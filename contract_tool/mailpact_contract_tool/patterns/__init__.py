"""Regular expressions: their trees, what is portable, what is slow, and which texts match."""
