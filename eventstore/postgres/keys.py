"""The keys of subjects in PostgreSQL, wrapped under master keys that the database never sees.

The table may lie in another database than the events (`REFOLD_PRIVACY_DSN`): then a dump of the events opens nothing, whoever has
the master key.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.statements import load
from eventstore.privacy.cipher import make_key
from eventstore.privacy.keyring import Keyring
from eventstore.privacy.keystore import MasterKeys, SubjectKey, read_masters
from eventstore.settings import PostgresSettings, PrivacySettings

_HERE = "eventstore.postgres"
_ROTATED = 5_000
Row = tuple[UUID, str, str | None, bytes | None]


class PostgresKeyStore:
    """Keys in the table `privacy.subject_key` behind *engine*, wrapped under *masters*."""

    def __init__(self, engine: AsyncEngine, masters: MasterKeys) -> None:
        self.engine = engine
        self._masters = masters

    async def claim(self, subjects: Collection[str]) -> Mapping[str, SubjectKey]:
        """Give the key of each subject, made now for those that had none."""
        wanted = sorted(set(subjects))
        found = await self._read("keys_of_subjects", wanted)
        new = [each for each in wanted if each not in found]
        if new:
            ids = [uuid4() for _ in new]
            wrapped = [self._masters.wrap(make_key(), _bind(key, subject)) for key, subject in zip(ids, new, strict=True)]
            async with checkout(self.engine) as connection:
                await connection.execute(load(_HERE, "claim_keys"), (self._masters.current, ids, new, wrapped))
            found |= await self._read("keys_of_subjects", new)
        return found

    async def find(self, ids: Collection[UUID]) -> Mapping[UUID, SubjectKey]:
        """Give the keys with these ids."""
        return {key.id: key for key in (await self._read("keys_by_id", list(ids))).values()}

    async def look(self, subject: str) -> UUID | None:
        """Give the id of a subject's key without making or opening one."""
        async with checkout(self.engine) as connection:
            rows = await (await connection.execute(load(_HERE, "keys_of_subjects"), ([subject],))).fetchall()
        return rows[0][0] if rows else None

    async def destroy(self, subject: str) -> UUID | None:
        """Destroy the key of *subject* and clear its row's earlier versions from the table."""
        async with checkout(self.engine) as connection:
            row = await (await connection.execute(load(_HERE, "destroy_key"), (subject,))).fetchone()
            if row is not None:
                await connection.execute(load(_HERE, "vacuum_keys"))
        return row[0] if row else None

    async def rotate(self) -> int:
        """Wrap every key under the current master key and give how many were not; some at a time, so it may be run again."""
        done = 0
        while True:
            async with checkout(self.engine) as connection, connection.transaction():
                rows: list[Row] = await (
                    await connection.execute(load(_HERE, "keys_to_rotate"), (self._masters.current, _ROTATED))
                ).fetchall()
                if not rows:
                    break
                wrapped = [self._masters.wrap(self._open(each), _bind(each[0], each[1])) for each in rows]
                ids = [each[0] for each in rows]
                await connection.execute(load(_HERE, "rotate_keys"), (self._masters.current, ids, wrapped))
                done += len(rows)
        if done:
            async with checkout(self.engine) as connection:
                await connection.execute(load(_HERE, "vacuum_keys"))
        return done

    async def count(self) -> dict[str | None, int]:
        """Count the keys by the name of their master key; None = forgotten subjects."""
        async with checkout(self.engine) as connection:
            return dict(await (await connection.execute(load(_HERE, "keys_by_master"))).fetchall())

    async def _read(self, statement: str, values: list[Any]) -> dict[str, SubjectKey]:
        async with checkout(self.engine) as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(load(_HERE, statement), (values,))
            rows: list[Row] = await cursor.fetchall()
        return {each[1]: SubjectKey(each[0], None if each[3] is None else self._open(each)) for each in rows}

    def _open(self, row: Row) -> bytes:
        key_id, subject, master, wrapped = row
        assert master is not None
        assert wrapped is not None
        return self._masters.unwrap(master, bytes(wrapped), _bind(key_id, subject))


@asynccontextmanager
async def opened_keys(engine: AsyncEngine, settings: PrivacySettings | None = None) -> AsyncGenerator[PostgresKeyStore | None]:
    """Open the key store that *settings* name, by default in the database of *engine*; None without master keys."""
    chosen = settings or PrivacySettings()
    masters = read_masters(chosen)
    if masters is None:
        yield None
        return
    own = None if chosen.dsn is None else open_engine(PostgresSettings(dsn=chosen.dsn, pool_size=4), application="refold keys")
    try:
        yield PostgresKeyStore(own or engine, masters)
    finally:
        if own is not None:
            await own.dispose()


@asynccontextmanager
async def opened_keyring(engine: AsyncEngine, settings: PrivacySettings | None = None) -> AsyncGenerator[Keyring | None]:
    """Open a keyring over that store; None without master keys, which means that personal fields read as SEALED."""
    chosen = settings or PrivacySettings()
    async with opened_keys(engine, chosen) as keys:
        yield None if keys is None else Keyring(keys, cache_s=chosen.cache_s, cache_keys=chosen.cache_keys)


def _bind(key: UUID, subject: str) -> str:
    return f"{key}|{subject}"
