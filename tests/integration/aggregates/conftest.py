"""Accounts on a real database."""

from tests.integration.eventstore.conftest import engine, postgres_template, settings, store

__all__ = ["engine", "postgres_template", "settings", "store"]
