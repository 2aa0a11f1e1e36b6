"""The bound of what is in flight in a child, which the settings and the pool know. Pure."""

MOST_IN_FLIGHT = 256
"""Most requests that are sent to a child before it has answered: the socket of the tokens has room for so many."""
