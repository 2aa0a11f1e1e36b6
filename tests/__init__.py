"""The tests: `unit` mirrors the packages, `contract` holds both brokers to one suite, `journey` runs the programs."""
