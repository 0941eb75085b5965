"""What happened is never changed, whoever asks."""

import uuid

import psycopg
import pytest

from eventstore import RawEvent
from eventstore.postgres import PostgresEventStore, checkout

CHANGES = (
    "UPDATE eventstore.event SET type = 'other'",
    "DELETE FROM eventstore.event",
    "TRUNCATE eventstore.event",
    "DELETE FROM eventstore.stream",
    "TRUNCATE eventstore.stream",
    "UPDATE eventstore.event SET type = 'other' WHERE false",
)


@pytest.mark.parametrize("role", ["origin", "replica"])
async def test_owner_is_refused(store: PostgresEventStore, role: str) -> None:
    """Even the owner's UPDATE, DELETE and TRUNCATE are refused with a hint, also in a session that skips ordinary triggers."""
    await store.append("a", [RawEvent("x", {})])
    async with checkout(store.engine) as connection:
        await connection.execute(f"SET session_replication_role = {role}")
        for change in CHANGES:
            with pytest.raises(psycopg.DatabaseError, match="never changed") as refused:
                await connection.execute(change)
            assert refused.value.sqlstate == "RF003"
            assert "Append an event" in (refused.value.diag.message_hint or "")
        await connection.execute("RESET session_replication_role")
    assert [each.type async for each in store.read_stream("a", decoded=False)] == ["x"]


async def test_writer_role_can_only_append(store: PostgresEventStore) -> None:
    """A role that may execute append_v1 can record events and nothing else."""
    role = f"es_writer_{uuid.uuid4().hex[:8]}"
    call = 'SELECT * FROM eventstore.append_v1(\'a\', -1, ARRAY[gen_random_uuid()], \'[{"t": "x", "v": 1, "d": {}}]\')'
    async with checkout(store.engine) as connection:
        await connection.execute(f"CREATE ROLE {role}")
        await connection.execute(f"GRANT USAGE ON SCHEMA eventstore TO {role}")
        await connection.execute(f"GRANT EXECUTE ON FUNCTION eventstore.append_v1 TO {role}")
        await connection.execute(f"SET ROLE {role}")
        try:
            await connection.execute(call)
            for change in (
                "INSERT INTO eventstore.stream VALUES (1, '1', 'b')",
                "SELECT * FROM eventstore.event",
                "SELECT * FROM eventstore.import_v1()",
                *CHANGES,
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await connection.execute(change)
        finally:
            await connection.execute("RESET ROLE")
            await connection.execute(f"DROP OWNED BY {role}")
            await connection.execute(f"DROP ROLE {role}")
    assert [each.version async for each in store.read_stream("a", decoded=False)] == [1]
