"""The development broker: AMQP 0-9-1 in one process, for development only."""
