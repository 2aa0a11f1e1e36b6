"""The pure parts of the RabbitMQ broker."""
