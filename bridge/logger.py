"""The logger of the programs. `bridge.console.log_setup` or the app's own logging configuration formats its records."""

import logging

log = logging.getLogger("bridge")
