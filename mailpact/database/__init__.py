"""The relational store of producer and consumer: one engine, whole transactions, migrations."""
