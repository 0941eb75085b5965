"""Looking at the three places at once: what a plan is made from. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

from cdc.check import Facts
from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config, find_names
from cdc.connect.declaration import Connector
from cdc.connect.secret import is_reference
from cdc.connect.settings import SourceSettings
from cdc.connect.state import ConnectorState
from cdc.database import SourceDatabase, open_database
from cdc.plan.topic import list_topics
from cdc.plan.worker import settle_config
from cdc.plan.world import Topic, World
from eventstore.errors import PreconditionFailed
from eventstore.log.admin import Admin
from eventstore.log.bounds import find_bounds
from eventstore.settings import KafkaSettings


async def survey_world(connector: Connector, kafka: KafkaSettings, connect: ConnectClient) -> World:
    """Collect the facts of the three places. Raises Unreachable, PreconditionFailed for a secret that can't be read here."""
    names = find_names(connector, kafka)
    running = await connect.read_config(names.connector)
    dsn = find_dsn(connector, running)
    worker, source, topics = await look_together(
        _look_connect(connector, kafka, connect, running),
        _look_source(connector, kafka, dsn),
        read_topics(kafka, list_topics(connector, names)),
    )
    version, state, offsets, refused = worker
    return World(running, state, offsets, refused, topics=topics, version=version, **source)


async def look_together(*looks: Awaitable[Any]) -> Sequence[Any]:
    """Await all, and raise the first error only when all have ended: a half-opened Kafka client does not survive a cancellation."""
    outcomes = await asyncio.gather(*looks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


def find_dsn(connector: Connector, running: Mapping[str, str] | None) -> str:
    """Give the URI for our own SQL; an adopted connector's password may still stand in Connect's configuration."""
    try:
        return SourceSettings().find(connector.find_dsn)
    except PreconditionFailed:
        written = (running or {}).get("database.password")
        if written is None or connector.adopted is None or is_reference(written):
            raise
        return connector.with_password(written)


async def _look_connect(
    connector: Connector, kafka: KafkaSettings, connect: ConnectClient, running: Mapping[str, str] | None
) -> tuple[str, ConnectorState | None, list[dict[str, Any]], dict[str, list[str]]]:
    names = find_names(connector, kafka)
    config = settle_config(connector, build_config(connector, kafka), running)
    version, refused = await asyncio.gather(connect.read_version(), connect.validate({"name": names.connector, **config}))
    if running is None:
        return version, None, [], refused
    state, offsets = await asyncio.gather(connect.read_state(names.connector), connect.read_offsets(names.connector))
    return version, state, offsets, refused


async def _look_source(connector: Connector, kafka: KafkaSettings, dsn: str) -> dict[str, Any]:
    async with open_database(dsn) as database:
        return await _read_source(connector, kafka, database)


async def _read_source(connector: Connector, kafka: KafkaSettings, database: SourceDatabase) -> dict[str, Any]:
    names, role = find_names(connector, kafka), connector.user
    signals: Facts | None = None
    if connector.signals is not None:
        signals = await database.read_signals(connector.signal_table, role)
    return {
        "server": await database.read_server(role),
        "slot": await database.read_slot(names.slot),
        "publication": await database.read_publication(names.publication),
        "tables": await database.read_tables(connector.tables, role),
        "columns": await database.read_columns(connector.tables),
        "signal_table": signals,
    }


async def read_topics(kafka: KafkaSettings, names: Iterable[str], *, bounds: bool = False) -> dict[str, Topic]:
    """Describe those topics of *names* that exist; with *bounds*, also how many partitions have lost their beginning."""
    async with Admin.open(kafka) as admin:
        described = await admin.describe(names)
    trimmed = dict.fromkeys(described, 0)
    if bounds and described:
        first, _ = await find_bounds(kafka, [(name, each) for name in described for each in range(described[name][0])])
        for (name, _), offset in first.items():
            trimmed[name] += offset > 0
    return {name: Topic(count, config, trimmed[name]) for name, (count, config, _) in described.items()}
