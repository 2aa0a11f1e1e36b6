"""Blinker signals as events: receivers that run later, and codecs for the sender and the arguments."""
