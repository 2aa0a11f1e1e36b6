"""The broker on RabbitMQ 3.10 to 4.x."""
