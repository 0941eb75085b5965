"""PostgreSQL: the one door of SQLAlchemy, psycopg and Alembic in this package."""

from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.statements import load

__all__ = ["checkout", "load", "open_engine"]
