"""Sidekiq's queues in Redis: jobs that become events, and events that become jobs."""
