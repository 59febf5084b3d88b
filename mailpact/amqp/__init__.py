"""AMQP 0-9-1 as every room uses it: supervised connections, the topology, confirmed publishing, manual acks."""
