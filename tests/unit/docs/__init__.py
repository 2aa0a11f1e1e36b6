"""The README and docs/ are true: what they show runs, and what exists is documented."""
