"""The bank on real servers, with sinks."""

from tests.bank.fixtures import engine, kafka, ledger, log, postgres_template, runs, used_topics
from tests.bank.places import places
from tests.stack.places import search_dir

__all__ = ["engine", "kafka", "ledger", "log", "places", "postgres_template", "runs", "search_dir", "used_topics"]
