"""The pool: app-server processes, booted, watched and replaced. It knows no event, broker or slot."""
