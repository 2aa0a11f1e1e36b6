"""The parts of logs and broadcasts that are the same on every broker, on top of what each broker implements."""
