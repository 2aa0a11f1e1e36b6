"""Tests of the publishers without RabbitMQ: the circuit, the spool, and the relay between the spool and the broker."""
