"""The objects on RabbitMQ: their names, declarations, message format, and the delay ladder."""
