"""Connections to RabbitMQ: opened, kept up, closed. Imports no other room of this broker."""
