"""The questions of bridge-doctor to RabbitMQ. Changes nothing."""
