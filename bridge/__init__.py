"""What the actors share: events, envelopes, decisions, FastCGI and the brokers. Imports none of the other packages."""
