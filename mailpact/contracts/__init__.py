"""The published contracts, and how a message is checked against them: catalogue, parse, validate."""
