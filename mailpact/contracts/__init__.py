"""The published contracts, and how a message is held against them: catalogue, parse, validate."""
