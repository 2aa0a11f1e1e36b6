"""Mailboxes on RabbitMQ: messages that programs put and fetch."""
