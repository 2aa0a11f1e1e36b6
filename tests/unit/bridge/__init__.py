"""What the actors share, without a broker, a process or a clock."""
