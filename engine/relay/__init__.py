"""Telling others: the outbox to doorbells, topics, webhooks and people's phones."""
