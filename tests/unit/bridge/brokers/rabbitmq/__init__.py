"""The parts of the RabbitMQ broker that need no broker."""
