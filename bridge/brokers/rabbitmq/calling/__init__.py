"""Calls on RabbitMQ: who asks, and who answers."""
