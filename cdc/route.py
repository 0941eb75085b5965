"""Debezium instead of the relay: the store's own events, into the same topic, byte for byte the same records.

A trigger writes each event's document into the write-ahead log as a message (no table grows), and the connector passes it on:
key = stream, value = document. The hand-over is exact in both directions, because positions divide the events, see
`eventstore.postgres.routes`; every step may be repeated, so a switch that was killed is simply started again.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config
from cdc.connect.declaration import Connector
from cdc.database import open_database
from cdc.proof import Proof, Report
from cdc.steer import Target, forget_offsets, stop_connector, teardown_connector
from eventstore.errors import PreconditionFailed, TimedOut, UsageError
from eventstore.log.topics import ensure_events_topic
from eventstore.log.wire import CONTENT_TYPE
from eventstore.postgres.engine import open_engine
from eventstore.postgres.routes import Route, close_route, find_route, open_route, prepare_route, settle_route
from eventstore.relay import Relay
from eventstore.settings import KafkaSettings, PostgresSettings, RelaySettings

TABLE = "eventstore.event"
MESSAGE = "refold.event"
_POLL_S = 0.1
_CONVERTER = "org.apache.kafka.connect.storage.StringConverter"
_SMT = "org.apache.kafka.connect.transforms"
_STEPS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("decode", "io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent", {}),
    ("after", f"{_SMT}.ExtractField$Value", {"field": "after"}),
    ("key", f"{_SMT}.ValueToKey", {"fields": "stream"}),
    ("stream", f"{_SMT}.ExtractField$Key", {"field": "stream"}),
    ("document", f"{_SMT}.ExtractField$Value", {"field": "document"}),
    ("type", f"{_SMT}.InsertHeader", {"header": "content-type", "value.literal": CONTENT_TYPE.decode()}),
)


@dataclass(frozen=True, slots=True)
class Switch:
    """What the switching works on: the declared *connector*, and the servers of the environment."""

    connector: Connector
    postgres: PostgresSettings
    kafka: KafkaSettings
    relay: RelaySettings
    deadline: float
    report: Report

    @property
    def config(self) -> dict[str, str]:
        """The connector's whole configuration."""
        return build_route(self.connector, self.kafka)

    @property
    def target(self) -> Target:
        """The connector and what it holds in PostgreSQL."""
        config = self.config
        return Target(config["topic.prefix"], config["slot.name"], self.connector.find_dsn())


def build_route(connector: Connector, kafka: KafkaSettings) -> dict[str, str]:
    """Give the configuration that turns announced events into the relay's records. Raises UsageError for other tables."""
    if connector.tables != (TABLE,):
        raise UsageError(
            f"a route carries the event store's own table: tables = [{TABLE!r}] and nothing else", tables=connector.tables
        )
    config = build_config(connector, kafka)
    for unwanted in ("message.prefix.exclude.list", "key.converter.schemas.enable", "value.converter.schemas.enable"):
        config.pop(unwanted, None)
    prefix = config["topic.prefix"]
    config |= {
        "snapshot.mode": "no_data",
        "message.prefix.include.list": re.escape(MESSAGE),
        "key.converter": _CONVERTER,
        "value.converter": _CONVERTER,
        "producer.override.max.request.size": str(kafka.max_message_bytes),
        "predicates": "event",
        "predicates.event.type": f"{_SMT}.predicates.TopicNameMatches",
        "predicates.event.pattern": f"{re.escape(prefix)}\\.message",
        "transforms": ",".join([*(name for name, _, _ in _STEPS), "topic"]),
        "transforms.topic.type": f"{_SMT}.RegexRouter",
        "transforms.topic.regex": f"{re.escape(prefix)}\\.message",
        "transforms.topic.replacement": kafka.events_topic,
    }
    for name, kind, options in _STEPS:
        config |= {f"transforms.{name}.type": kind, f"transforms.{name}.predicate": "event"}
        config |= {f"transforms.{name}.{option}": value for option, value in options.items()}
    return config


async def switch_on(switch: Switch) -> Route | None:
    """Let Debezium carry all events from now on, and return when that is proved; the relays finish what was before and wait.

    Raises HeldElsewhere (a writer does not pause, or a relay does not finish), TimedOut, ConnectorFailed, Unreachable. Running
    it again goes on where it stopped.
    """
    engine = open_engine(switch.postgres, application="cdc route")
    try:
        topic, name = await ensure_events_topic(switch.kafka), switch.target.slot
        route = await find_route(engine, topic)
        if route is not None and not route.settled and route.until is not None:
            raise PreconditionFailed(
                "the route is being switched off: finish that with `cdc route off`, or with `cdc recover` what that began"
            )
        if route is not None and not route.settled:
            await _require_slot(switch)
        fresh = await prepare_route(engine, name)
        if route is None or route.settled:
            await open_route(engine, topic, switch.relay.source)
        switch.report("events are announced for Debezium")
        while (route := await find_route(engine, topic)) is not None and not route.readable:
            await _pause(switch, "a transaction from before still holds ordered readers back: `eventstore doctor` names it")
        done = await Relay(engine, switch.kafka, switch.relay).drain(patience_s=switch.deadline - time.monotonic())
        switch.report(f"all before is in the log ({done.published} events published just now)")
        await _settle_connector(switch, fresh=fresh)
        return route
    finally:
        await engine.dispose()


async def switch_off(switch: Switch) -> Route | None:
    """Give the events back to the relay, once Debezium has delivered what was announced. None = Debezium carries nothing."""
    engine = open_engine(switch.postgres, application="cdc route")
    try:
        route = await find_route(engine, switch.kafka.events_topic)
        if route is None or route.settled:
            return None
        await _require_slot(switch)
        await close_route(engine)
        switch.report("nothing is announced any more")
        await _settle_connector(switch, fresh=False)
        while not await settle_route(engine):
            await _pause(switch, "a transaction from before the switch still runs: `eventstore doctor` names it")
        switch.report("the relay goes on")
        async with ConnectClient() as connect:
            await teardown_connector(connect, switch.target, switch.deadline, switch.report)
        return await find_route(engine, switch.kafka.events_topic)
    finally:
        await engine.dispose()


async def read_route(switch: Switch) -> Route | None:
    """Give the latest route, None when there never was one."""
    engine = open_engine(switch.postgres, application="cdc route")
    try:
        return await find_route(engine, switch.kafka.events_topic)
    finally:
        await engine.dispose()


async def _require_slot(switch: Switch) -> None:
    """Refuse to go on without the slot that has what was announced: a new one would pass over it in silence."""
    async with open_database(switch.target.dsn or "") as database:
        slot = await database.read_slot(switch.target.slot)
    if slot is None or slot["wal_status"] == "lost":
        raise PreconditionFailed(
            f"Debezium carries the events and its slot {switch.target.slot} {'is gone' if slot is None else 'has lost its log'}: events "
            "may be missing in the topic. `cdc recover` publishes them from the event table."
        )


async def _settle_connector(switch: Switch, *, fresh: bool) -> None:
    """Make the connector run, and prove that all that was announced before this call is in the log."""
    config, target = switch.config, switch.target
    async with ConnectClient() as connect, open_database(target.dsn or "") as database:
        if await connect.read_config(target.name) is None:
            await connect.create(target.name, config, stopped=True)
        if fresh and await connect.read_offsets(target.name):
            await stop_connector(connect, target, switch.deadline)
            await forget_offsets(connect, target.name, switch.deadline)
        await connect.put_config(target.name, config)
        await connect.resume(target.name)
        await Proof(connect, database, target.name, target.slot, switch.deadline, switch.report).wait()


async def _pause(switch: Switch, waiting: str) -> None:
    if time.monotonic() > switch.deadline:
        raise TimedOut(f"{waiting}. Run this again, or give more time with --timeout.")
    await asyncio.sleep(_POLL_S)
