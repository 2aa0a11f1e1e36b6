"""The main job, whole, with the real programs as processes: see `__main__`."""
