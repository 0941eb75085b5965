"""The ceiling: `pgbench` running the bare insert of one event, prepared, into a table with the same columns and indexes."""

import re
import subprocess
import tempfile
from pathlib import Path

import psycopg

from compose.postgres import find_binaries

TABLE = """
CREATE TABLE IF NOT EXISTS bare_event (
    position bigint GENERATED ALWAYS AS IDENTITY, xid xid8 NOT NULL DEFAULT pg_current_xact_id(), version bigint NOT NULL,
    occurred_at timestamptz NOT NULL, recorded_at timestamptz NOT NULL, event_id uuid NOT NULL UNIQUE,
    schema_version integer NOT NULL, stream text COLLATE "C" NOT NULL, type text NOT NULL, data jsonb NOT NULL,
    metadata jsonb NOT NULL, PRIMARY KEY (stream, version));
CREATE INDEX IF NOT EXISTS bare_order ON bare_event (xid, position);
CREATE SEQUENCE IF NOT EXISTS bare_version CACHE 50
"""
INSERT = """
INSERT INTO bare_event (version, occurred_at, recorded_at, event_id, schema_version, stream, type, data, metadata)
VALUES (nextval('bare_version'), now(), now(), uuidv7(), 1, 'bench-' || :client_id, 'bench-order-placed',
'{"order":4711,"customer":"customer-99","cents":12345,"currency":"EUR","items":[{"sku":"sku-7","count":1}]}', '{}');
"""


def measure_inserts(dsn: str, clients: int, seconds: int) -> float:
    """Give the inserts a second that *clients* connections reach, each insert a transaction."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLE)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "insert.sql"
        script.write_text(INSERT.replace("\n", " ").strip())
        command = [find_binaries() / "pgbench", "-n", "-M", "prepared", "-f", script, "-c", str(clients), "-j", "2"]
        done = subprocess.run([*command, "-T", str(seconds), dsn], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])
