"""Collecting the facts that the checks judge; changes nothing, though the proof writes one message into the log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cdc.connect.client import ConnectClient
from cdc.connect.config import Names, build_config, find_names, name_topic, read_names
from cdc.connect.declaration import Connector
from cdc.connect.scope import list_captured
from cdc.connect.settings import ConnectSettings, SourceSettings
from cdc.connect.state import ConnectorState
from cdc.database import SourceDatabase, open_database
from cdc.doctor.facts import Facts, Log, Source, Worker
from cdc.drift import Written
from cdc.plan.world import Topic
from cdc.proof import ConnectorFailed, Proof
from cdc.steer import compose_dsn, find_running
from cdc.survey import find_dsn, look_together, read_topics
from eventstore.codec import decode
from eventstore.errors import PreconditionFailed, RefoldError, UndecodableRecord, Unreachable
from eventstore.log.admin import Admin
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds
from eventstore.settings import KafkaSettings

LONG_S = 600.0
_KINDS = {"config": ("-config", "-configs"), "offset": ("-offset", "-offsets"), "status": ("-status", "-statuses")}


async def collect_facts(
    connect: ConnectClient,
    kafka: KafkaSettings,
    *,
    name: str = "",
    declared: Connector | None = None,
    timeout_s: float = 15.0,
    written: Written | None = None,
) -> Facts:
    """Collect everything about the connector *name*, or the *declared* one, which need not exist yet, and of its *written* row classes.

    Raises PreconditionFailed when there is neither, Unreachable when one of the three places does not answer.
    """
    full, running = (
        await find_running(connect, name, kafka) if declared is None else await _read_declared(connect, declared, kafka)
    )
    if running is None and declared is None:
        raise PreconditionFailed(f"Kafka Connect knows no connector {full}: run `cdc apply`, or give its file with --file")
    config = dict(running) if running is not None else build_config(cast("Connector", declared), kafka)
    names = read_names(full, config)
    dsn = find_dsn(declared, running) if declared is not None else _find_dsn(config)
    async with open_database(dsn) as database:
        tables = list(declared.tables) if declared is not None else list_captured(config, await database.list_tables())
        source, worker, log = await look_together(
            _look_source(database, names, config, tables),
            _look_connect(connect, kafka, names, config, exists=running is not None),
            _look_kafka(kafka, [name_topic(names.prefix, table) for table in tables]),
        )
        drift = await written.compare(database, declared) if written and declared else ()
        proof = await _prove(connect, database, names, worker.state, timeout_s) if running is not None else None
    whole = Log(log.topics, log.internal, log.brokers, proof)
    budget = SourceSettings().wal_budget_bytes
    return Facts(names, config, running is not None, tables, source, worker, whole, declared, budget, drift)


async def _read_declared(connect: ConnectClient, declared: Connector, kafka: KafkaSettings) -> tuple[str, dict[str, str] | None]:
    full = find_names(declared, kafka).connector
    return full, await connect.read_config(full)


def _find_dsn(config: dict[str, str]) -> str:
    return SourceSettings().find(lambda: compose_dsn(config))


async def _look_source(database: SourceDatabase, names: Names, config: Mapping[str, str], tables: Sequence[str]) -> Source:
    role, signals = config.get("database.user", "postgres"), config.get("signal.data.collection")
    largest = await database.measure_rows(tables)
    query = config.get("heartbeat.action.query", "")
    return Source(
        server=await database.read_server(role),
        settings={row["name"]: row["setting"] for row in await database.ask("settings")},
        role=next(iter(await database.ask("role", role=role)), None),
        tables=[{**row, "largest": largest.get(row["name"], 0)} for row in await database.read_tables(tables, role)],
        columns=await database.read_columns(tables),
        publication=await database.read_publication(names.publication),
        slots=await database.ask("slots"),
        transactions=await database.ask("transactions", seconds=LONG_S),
        publications=await database.ask("publications"),
        signals=await database.read_signals(signals, role) if signals else None,
        heartbeat=await database.rehearse(query) if query else "",
    )


async def _look_connect(
    connect: ConnectClient, kafka: KafkaSettings, names: Names, config: dict[str, str], *, exists: bool
) -> Worker:
    listed = await connect.list_connectors()
    required = {**config, "name": names.connector, "exactly.once.support": "required"}
    refused = await connect.validate(required)
    unable = any("exactly-once" in text for told in refused.values() for text in told)
    if unable and config.get("exactly.once.support") != "required":
        refused.pop("exactly.once.support", None)
    workers = {worker for state, _ in listed.values() for worker in state.workers}
    plugins: dict[str, str | None] = {}
    for worker in [*sorted(workers)] or [None]:
        with contextlib.suppress(Unreachable):  # a worker behind another network can't be asked from here
            plugins[worker or "asked"] = await connect.read_plugin(worker)
    return Worker(
        version=await connect.read_version(),
        plugins=plugins,
        connectors={name: each for name, (_, each) in listed.items() if "postgresql" in each.get("connector.class", "")},
        refused=refused,
        state=await connect.read_state(names.connector) if exists else None,
        offsets=await connect.read_offsets(names.connector) if exists else [],
        leftovers=[] if exists else await _find_leftovers(kafka, listed),
        exactly_once=not unable,
    )


async def _look_kafka(kafka: KafkaSettings, topics: Sequence[str]) -> Log:
    prefix = ConnectSettings().internal_prefix
    wanted = {kind: [f"{prefix}{ending}" for ending in endings] for kind, endings in _KINDS.items()}
    described = await read_topics(kafka, [*topics, *(name for names in wanted.values() for name in names)], bounds=True)
    internal: dict[str, Topic | None] = {}
    for kind, names in wanted.items():
        found = next((name for name in names if name in described), names[0])
        internal[f"{kind}={found}"] = described.get(found)
    async with Admin.open(kafka) as admin:
        brokers = await admin.count_brokers()
    return Log({name: described[name] for name in topics if name in described}, internal, brokers)


async def _prove(
    connect: ConnectClient, database: SourceDatabase, names: Names, state: ConnectorState | None, timeout_s: float
) -> str | None:
    """Give why no message came through, empty when one did, None when the connector does not run and none could."""
    if state is None or not state.is_running:
        return None
    try:
        await Proof(connect, database, names.connector, names.slot, time.monotonic() + timeout_s, lambda _: None).wait()
    except (ConnectorFailed, PreconditionFailed) as error:
        return str(error)
    except RefoldError as error:
        return f"not within {timeout_s:g} s: {error}"
    return ""


async def _find_leftovers(kafka: KafkaSettings, listed: Mapping[str, Any]) -> list[str]:
    """Give the connectors that Connect keeps offsets of and no longer knows, read from its own topic."""
    topics = await read_topics(kafka, [f"{ConnectSettings().internal_prefix}{ending}" for ending in _KINDS["offset"]])
    held: dict[bytes, bool] = {}
    for topic, described in topics.items():
        first, end = await find_bounds(kafka, [(topic, each) for each in range(described.partitions)])
        start = {each: offset for each, offset in first.items() if end[each] > offset}
        if start:
            held |= await _read_keys(kafka, start, end)
    names = {_read_name(key) for key, alive in held.items() if alive}
    return sorted(name for name in names if name and name not in listed)


async def _read_keys(kafka: KafkaSettings, start: Mapping[Any, int], end: Mapping[Any, int]) -> dict[bytes, bool]:
    reader = AssignedReader(kafka, "cdc-doctor")
    held: dict[bytes, bool] = {}
    await reader.open(start)
    try:
        while any(offset < end[each] for each, offset in (await reader.seen()).items()):
            for records in (await reader.poll(0.5)).values():
                held |= {record.key: record.value is not None for record in records if record.key is not None}
    finally:
        await reader.close()
    return held


def _read_name(key: bytes) -> str:
    try:
        parsed: Any = decode(key)
    except UndecodableRecord:
        return ""
    return str(cast("list[Any]", parsed)[0]) if isinstance(parsed, list) and parsed else ""
