"""Complaints of users of other systems on RabbitMQ, by their issues: each is a test that passes with this project."""
