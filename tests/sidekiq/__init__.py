"""Queues of Sidekiq: their jobs become events, and events become jobs, with a real Redis and a real Sidekiq."""
