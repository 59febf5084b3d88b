"""The consumer: turns messages into mail as their contracts require, and records every outcome."""
