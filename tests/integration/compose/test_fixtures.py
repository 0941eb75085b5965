"""The fixtures that every test with real servers relies on."""

import psycopg

from compose.probe import ask_connect, ask_kafka


def test_postgres_dsn(postgres_dsn: str) -> None:
    """Each test has an empty database of its own that decodes its WAL logically."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT current_setting('wal_level'), count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone()
        connection.execute("CREATE TABLE fact (x int)")
        connection.execute("SELECT pg_create_logical_replication_slot('left_by_' || current_database(), 'pgoutput')")
    assert row == ("logical", 0)


def test_kafka_and_connect(kafka_bootstrap: str, connect_url: str) -> None:
    """The broker answers, and the worker has Debezium's connector."""
    assert ask_kafka(kafka_bootstrap).version.startswith("metadata.version")
    assert "Debezium" in ask_connect(connect_url).detail


def test_topic_prefix(topic_prefix: str, request) -> None:
    """A prefix is a legal topic name and no two are equal."""
    assert topic_prefix.isalnum()
    assert len(topic_prefix) == 11
