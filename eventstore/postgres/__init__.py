"""PostgreSQL: the one door of SQLAlchemy, psycopg and Alembic in this package."""

from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.snapshots import PostgresSnapshots
from eventstore.postgres.statements import load
from eventstore.postgres.store import PostgresEventStore
from eventstore.postgres.tasks import Agenda

__all__ = ["Agenda", "PostgresEventStore", "PostgresSnapshots", "checkout", "load", "open_engine"]
