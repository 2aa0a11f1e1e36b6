"""Deliveries from RabbitMQ and their settlement."""
