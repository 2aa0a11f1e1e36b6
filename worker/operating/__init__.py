"""The programs that steer a site, `bridge-queues` and `bridge-events cancel`. They need only the broker."""
