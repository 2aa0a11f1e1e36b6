"""The spool without RabbitMQ: the circuit, the file, and what becomes of events between the two."""
