"""`bridge-move`: moves what a broker in a file holds to another broker, while both are in use."""
