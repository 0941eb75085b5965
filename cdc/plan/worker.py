"""The steps in Kafka Connect: the connector, its configuration, and that it runs, or stands as it is declared to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cdc.connect.config import Names, compare_config
from cdc.connect.declaration import Connector
from cdc.connect.option import find_deprecation
from cdc.connect.secret import is_reference, is_secret_name
from cdc.connect.state import ConnectorState
from cdc.finding import Finding
from cdc.plan.effect import find_effect
from cdc.plan.step import Action, Change, Step
from cdc.plan.world import World

HIDDEN = "(plain text, hidden)"
_VERBS: Mapping[str, Action] = {"running": "resume", "paused": "pause", "stopped": "stop"}


def settle_config(connector: Connector, config: Mapping[str, str], running: Mapping[str, str] | None) -> dict[str, str]:
    """Give the configuration to write: an adopted connector keeps a secret in plain text until somebody moves it."""
    if running is None or connector.adopted is None:
        return dict(config)
    kept = {name: running[name] for name in _list_plain(running) if name in config}
    return {**config, **kept}


def plan_worker(connector: Connector, names: Names, config: Mapping[str, str], world: World) -> Iterator[Step]:
    """Give the steps in Connect for the *config* that is to be."""
    name = names.connector
    if world.config is None:
        stands = (Change("state", None, connector.state.upper()),) if connector.state != "running" else ()
        changes = (*stands, *(Change(option, None, mask(option, value)) for option, value in config.items()))
        reason = "offsets that a deleted namesake left, and no slot goes with, are cleared"
        yield Step("Connect", "+", "connector", name, "create-connector", reason, changes, values=config)
        return
    changes = tuple(
        Change(option, mask(option, old), mask(option, new), find_effect(option)[1], find_effect(option)[0])
        for option, (old, new) in compare_config(world.config, config).items()
    )
    if changes:
        yield Step("Connect", "~", "connector", name, "put-config", "it differs from its declaration", changes, values=config)
    if world.state is not None:
        yield from _plan_state(connector.state, name, world.state)


def _plan_state(declared: str, name: str, there: ConnectorState) -> Iterator[Step]:
    """Give the steps from the state that is there to the declared one; tasks that failed are of no matter while it is to stand."""
    wanted, reason = declared.upper(), f"it is declared as {declared}"
    runs = declared == "running"
    if there.state != wanted and (not runs or there.state in ("PAUSED", "STOPPED")):
        change = Change("state", there.state, wanted)
        yield Step("Connect", "~", "connector", name, _VERBS[declared], reason, (change,))
    if there.state == "FAILED" or (runs and there.failure):
        change = Change("state", "FAILED", wanted)
        yield Step("Connect", "~", "connector", name, "restart", reason, (change,))


def check_worker(connector: Connector, names: Names, config: Mapping[str, str], world: World) -> list[Finding]:
    """Judge what Connect refuses, what it will drop, a move to another database, and secrets in plain text."""
    found = [
        Finding("fail", "option", f"{name}: {' '.join(told)}", "correct the declaration") for name, told in world.refused.items()
    ]
    found += [
        Finding("warn", "deprecated", f"the option {name} is deprecated", remedy)
        for name in sorted(config)
        if (remedy := find_deprecation(name))
    ]
    if world.config is None:
        return found
    there, wanted = world.config.get("database.dbname"), config["database.dbname"]
    if there != wanted:
        what = f"connector {names.connector} captures the database {there!r}, not {wanted!r}, and its offsets mean nothing there"
        found.append(Finding("fail", "database", what, "`cdc teardown` it first, or give the new one another name"))
    if connector.adopted is not None:
        for option in _list_plain(world.config):
            what = f"{option} stands in plain text in Connect's configuration, for everyone who asks"
            found.append(Finding("warn", "secret", what, "make the reference readable to the worker, then `cdc doctor --fix`"))
    return found


def mask(option: str, value: str | None) -> str | None:
    """Hide a secret in plain text; a reference is shown."""
    return HIDDEN if value is not None and is_secret_name(option) and not is_reference(value) else value


def _list_plain(config: Mapping[str, str]) -> list[str]:
    return [name for name, value in config.items() if mask(name, value) == HIDDEN]
