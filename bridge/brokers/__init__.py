"""Two brokers, one behaviour: `contract` says what they promise, `opening` makes one from a URL."""
