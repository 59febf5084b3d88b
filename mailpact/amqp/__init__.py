"""AMQP 0-9-1 for every component: supervised connections, the topology, confirmed publishing, manual acks."""
