"""Migrations of the store; run by :func:`engine.store.database.migrate`."""
