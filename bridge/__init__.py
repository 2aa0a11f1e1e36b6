"""The shared package: events, envelopes, decisions, FastCGI and the brokers. It imports none of the other packages."""
