"""The bank on real servers."""

from tests.bank.fixtures import engine, kafka, ledger, log, postgres_template, runs, used_topics

__all__ = ["engine", "kafka", "ledger", "log", "postgres_template", "runs", "used_topics"]
