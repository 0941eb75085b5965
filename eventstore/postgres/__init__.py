"""PostgreSQL: the one door of SQLAlchemy, psycopg and Alembic in this package."""

from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.statements import load
from eventstore.postgres.store import PostgresEventStore

__all__ = ["PostgresEventStore", "checkout", "load", "open_engine"]
