"""Claims and broadcasts on RabbitMQ."""
