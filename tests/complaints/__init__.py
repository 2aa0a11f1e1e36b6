"""What users of other systems on RabbitMQ complain of: each complaint is a test that passes here."""
