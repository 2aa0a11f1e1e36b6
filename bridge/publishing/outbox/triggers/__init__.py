"""Triggers that write an event into the outbox when a program changes a row: their statements in each dialect."""
