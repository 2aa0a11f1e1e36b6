"""Failures as groups: what is dead and what is still retrying, by the fingerprint of the error. Pure."""
