"""The consumer: turns messages into mail, each exactly as its contract promises, and proves what it did."""
