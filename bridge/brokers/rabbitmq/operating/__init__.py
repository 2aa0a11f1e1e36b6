"""Counts and purges the queues on RabbitMQ, for operators."""
