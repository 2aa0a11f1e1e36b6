"""`bridge-site`: all processes of a site, started, watched and ended as one."""
