"""The statements that a plan shows and an apply runs: DDL on named objects, quoted, so that a DBA can run the very same text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def quote(name: str) -> str:
    """Quote one identifier, whatever it holds."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def quote_table(table: str) -> str:
    """Quote `schema.table`; the first dot divides them."""
    schema, _, name = table.partition(".")
    return f"{quote(schema)}.{quote(name)}"


def create_publication(name: str, tables: Sequence[str], operations: Sequence[str]) -> str:
    """Publish *operations* of *tables*."""
    return f"CREATE PUBLICATION {quote(name)} FOR TABLE {_list(tables)} WITH (publish = '{', '.join(operations)}')"


def set_tables(name: str, tables: Sequence[str]) -> str:
    """Make the publication hold exactly *tables*."""
    return f"ALTER PUBLICATION {quote(name)} SET TABLE {_list(tables)}"


def add_tables(name: str, tables: Sequence[str]) -> str:
    """Make the publication hold *tables* too, whatever else it holds by then, and however that is narrowed."""
    return f"ALTER PUBLICATION {quote(name)} ADD TABLE {_list(tables)}"


def set_operations(name: str, operations: Sequence[str]) -> str:
    """Make the publication publish exactly *operations*."""
    return f"ALTER PUBLICATION {quote(name)} SET (publish = '{', '.join(operations)}')"


def set_identity(table: str, identity: str) -> str:
    """Make the old row of an update or delete come whole (`FULL`) or by its key (`DEFAULT`)."""
    return f"ALTER TABLE {quote_table(table)} REPLICA IDENTITY {identity.upper()}"


def grant_read(table: str, role: str) -> str:
    """Let *role* read *table*; two statements."""
    schema = quote(table.partition(".")[0])
    return f"GRANT USAGE ON SCHEMA {schema} TO {quote(role)}; GRANT SELECT ON {quote_table(table)} TO {quote(role)}"


def grant_replication(role: str) -> str:
    """Let *role* read the log."""
    return f"ALTER ROLE {quote(role)} REPLICATION"


def grant_emit(signature: str, role: str) -> str:
    """Let *role* write the heartbeat's message into the log."""
    return f"GRANT EXECUTE ON FUNCTION {signature} TO {quote(role)}"


def create_signals(table: str, role: str) -> str:
    """Make the signal table, which *role* may write; two statements."""
    where = quote_table(table)
    columns = "id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048)"
    return f"CREATE TABLE {where} ({columns}); {grant_signals(table, role)}"


def grant_signals(table: str, role: str) -> str:
    """Let *role* write and clear the watermarks of an incremental snapshot."""
    return f"GRANT SELECT, INSERT, UPDATE, DELETE ON {quote_table(table)} TO {quote(role)}"


def _list(tables: Iterable[str]) -> str:
    return ", ".join(map(quote_table, sorted(tables)))
