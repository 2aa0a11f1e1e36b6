"""Benchmarks of this project and its peers, in one run on one machine: `python -m benchmarks.run`. Not distributed."""
