"""The tests. `unit` mirrors the packages, `contract` is one suite for both brokers, `journey` runs the programs."""
