"""Confirmed publishing to RabbitMQ."""
