"""The dead-letter ledger as a RabbitMQ stream, with a local index."""
