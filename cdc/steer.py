"""Pausing, resuming, restarting and tearing down a connector, each until its effect is seen.

A connector is found by its declared name. Its database is the one its configuration names; the password comes from the
declaration, the resolved reference, or REFOLD_CDC_DSN.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import quote

from cdc.connect.client import ConnectClient
from cdc.connect.config import connector_name, find_names, read_names, server_name
from cdc.connect.declaration import Connector
from cdc.connect.secret import is_reference
from cdc.connect.settings import SourceSettings
from cdc.database import SourceDatabase, open_database
from cdc.proof import Proof, Report
from eventstore.errors import HeldElsewhere, PreconditionFailed, TimedOut
from eventstore.settings import KafkaSettings

_POLL_S, _ANEW_S = 0.1, 3.0


@dataclass(frozen=True, slots=True)
class Target:
    """A connector to act on: its names in Connect and PostgreSQL, the URI of its database. *publication* empty = as the slot."""

    name: str
    slot: str
    dsn: str | None = field(repr=False)
    publication: str = ""
    prefix: str = ""


async def find_running(connect: ConnectClient, name: str, kafka: KafkaSettings) -> tuple[str, dict[str, str] | None]:
    """Find connector *name*: under our topic prefix, else by exactly that name. None = Connect knows neither."""
    full = name if name.startswith(f"{kafka.topic_prefix}.") else connector_name(name, kafka)
    config = await connect.read_config(full)
    if config is None and name != full and (other := await connect.read_config(name)) is not None:
        return name, other
    return full, config


def aim(name: str, kafka: KafkaSettings, config: dict[str, str] | None, declared: Connector | None) -> Target:
    """Settle what *name* means: from its declaration, else from Connect's configuration, where *name* is Connect's own."""
    if declared is not None:
        names, dsn = find_names(declared, kafka), SourceSettings().find(declared.find_dsn)
        return Target(names.connector, names.slot, dsn, names.publication, names.prefix)
    set_dsn = SourceSettings().dsn
    given = set_dsn.get_secret_value() if set_dsn else None if config is None else compose_dsn(config)
    if config is not None:
        names = read_names(name, config)
        return Target(name, names.slot, given, names.publication, names.prefix)
    slot = server_name(name.removeprefix(f"{kafka.topic_prefix}."), kafka)
    return Target(name, slot, given, slot, name)


def compose_dsn(config: dict[str, str]) -> str:
    """Give the URI of the database in *config*, with the password as it stands there or as its reference resolves here."""
    user, host, port = config["database.user"], config["database.hostname"], config.get("database.port", "5432")
    written = config.get("database.password")
    plain = written is not None and not is_reference(written)
    given = Connector(
        "composed",
        f"postgresql://{quote(user, safe='')}@{host}:{port}/{config['database.dbname']}",
        ("any.table",),
        None if plain else written,
    )
    return given.with_password(f"{written}") if plain else given.find_dsn()


async def pause_connector(connect: ConnectClient, target: Target, deadline: float) -> None:
    """Pause; the slot stays active and nothing is lost. Returns when Connect says PAUSED."""
    _require(await connect.pause(target.name), target.name)
    await await_standing(connect, target.name, "PAUSED", deadline)


async def stop_connector(connect: ConnectClient, target: Target, deadline: float) -> None:
    """Stop; returns when Connect says STOPPED and no task is left, so that the slot is released and offsets can be changed."""
    _require(await _order_stop(connect, target.name), target.name)
    await await_standing(connect, target.name, "STOPPED", deadline)


async def resume_connector(connect: ConnectClient, target: Target, deadline: float, report: Report) -> None:
    """Resume a paused or stopped connector and prove that it captures."""
    _require(await connect.resume(target.name), target.name)
    await _prove(connect, target, deadline, report)


async def restart_connector(connect: ConnectClient, target: Target, deadline: float, report: Report) -> None:
    """Restart the connector with its tasks and prove that it captures."""
    before = await connect.read_state(target.name)
    _require(await connect.restart(target.name), target.name)
    await _prove(connect, target, deadline, report, before.failure if before else "")


async def teardown_connector(connect: ConnectClient, target: Target, deadline: float, report: Report) -> dict[str, bool]:
    """Remove a connector and all it holds but its topics; says what was there. Can be repeated after a crash.

    The order matters: offsets can be forgotten only while the connector exists and has stopped, and the slot can be dropped
    only when nobody reads it. Raises HeldElsewhere, the slot untouched, when somebody made the connector anew meanwhile.
    """
    gone: dict[str, bool] = {}
    if await _order_stop(connect, target.name):
        await await_standing(connect, target.name, "STOPPED", deadline)
        report("stopped")
        await forget_offsets(connect, target.name, deadline)
        report("offsets deleted")
        gone["connector"] = await connect.delete(target.name)
        report("connector deleted")
    else:
        gone["connector"] = False
    if target.dsn is None:
        raise PreconditionFailed(f"there is no connector {target.name} to name its database: give --file, or REFOLD_CDC_DSN")
    await _require_gone(connect, target.name)
    async with open_database(target.dsn) as database:
        gone["slot"] = await release_slot(database, target.slot, deadline)
        gone["publication"] = await database.drop_publication(target.publication or target.slot)
    report("slot and publication dropped")
    return gone


async def _order_stop(connect: ConnectClient, name: str) -> bool:
    """Stop the connector unless it stands already; False = there is none.

    Of one that was made anew and never ran, Connect 4.3 answers every deletion of offsets with 500 once it was stopped a second time.
    """
    if await connect.read_config(name) is None:
        return False
    state = await connect.read_state(name)
    return (state is not None and state.state == "STOPPED" and not state.tasks) or await connect.stop(name)


async def _require_gone(connect: ConnectClient, name: str) -> None:
    """Raise HeldElsewhere when somebody has made the connector anew; a worker may tell of the old one for a moment."""
    started = time.monotonic()
    while await connect.read_config(name) is not None:
        if time.monotonic() - started > _ANEW_S:
            raise HeldElsewhere(
                f"someone else made the connector {name} anew while it was torn down: its slot and publication were left to it",
                connector=name,
            )
        await asyncio.sleep(_POLL_S)


async def release_slot(database: SourceDatabase, slot: str, deadline: float) -> bool:
    """Drop the slot once nobody reads it; False = there was none. Raises HeldElsewhere when somebody goes on reading."""
    while (there := await database.read_slot(slot)) is not None:
        if not there["active"] and await database.drop_slot(slot):
            return True
        if time.monotonic() > deadline:
            raise HeldElsewhere(f"the slot {slot} is still read by a walsender: see pg_replication_slots for its pid")
        await asyncio.sleep(_POLL_S)
    return False


async def forget_offsets(connect: ConnectClient, name: str, deadline: float) -> None:
    """Delete the offsets of a stopped connector, again while Connect does not know yet that it exists or has stopped. Raises TimedOut."""
    while not await connect.delete_offsets(name):
        if time.monotonic() > deadline:
            raise TimedOut(
                f"the offsets of {name} can't be deleted: is it stopped? Give more time with --timeout", connector=name
            )
        await asyncio.sleep(_POLL_S)


async def await_standing(connect: ConnectClient, name: str, wanted: str, deadline: float) -> None:
    """Return when Connect says that the connector is *wanted*: PAUSED, or STOPPED with no task left. Raises TimedOut."""
    while (state := await connect.read_state(name)) is None or state.state != wanted or (wanted == "STOPPED" and state.tasks):
        if time.monotonic() > deadline:
            raise TimedOut(f"connector {name} is {state or 'without status'}; give more time with --timeout", connector=name)
        await asyncio.sleep(_POLL_S)


async def _prove(connect: ConnectClient, target: Target, deadline: float, report: Report, stale: str = "") -> None:
    if target.dsn is None:
        raise PreconditionFailed(f"connector {target.name} has no database address: give --file, or REFOLD_CDC_DSN")
    async with open_database(target.dsn) as database:
        await Proof(connect, database, target.name, target.slot, deadline, report, stale).wait()


def _require(found: bool, name: str) -> None:
    if not found:
        raise PreconditionFailed(f"Kafka Connect knows no connector {name}: run `cdc apply`, or see `cdc status` for the names")
