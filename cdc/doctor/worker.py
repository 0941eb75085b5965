"""Checks of Kafka Connect: versions, options, secrets, states, offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cdc.connect.option import find_close, find_deprecation, is_known
from cdc.connect.secret import is_reference, is_secret_name
from cdc.connect.state import find_offset
from cdc.connect.trace import classify
from cdc.doctor.check import RESTART, Fix, Trouble, check
from cdc.doctor.facts import Facts

_FAMILY = "worker"
_OLDEST = (3, 7)


@check(20, _FAMILY, "versions", "before 3.7 a COPY whose rows share a position loses rows at a restart")
def judge_versions(facts: Facts) -> Iterator[Trouble]:
    """Require: debezium is 3.7 or newer, and the same on every worker."""
    versions = {version for version in facts.worker.plugins.values() if version}
    for version in sorted(versions):
        if (parsed := _parse(version)) is not None and parsed < _OLDEST:
            yield Trouble("warn", f"Debezium is {version}", "upgrade the connector's plugin to 3.7 or newer on every worker")
    if len(versions) > 1:
        yield Trouble(
            "fail",
            f"the workers have different versions of Debezium: {', '.join(sorted(versions))}",
            "install the same one everywhere",
        )


def _parse(version: str) -> tuple[int, ...] | None:
    found = re.match(r"(\d+)\.(\d+)", version)
    return None if found is None else (int(found[1]), int(found[2]))


@check(21, _FAMILY, "plugin on every worker", "the task fails after the rebalance that moves it to a worker without the plugin")
def judge_plugins(facts: Facts) -> Iterator[Trouble]:
    """Require: every worker has Debezium's connector for PostgreSQL."""
    for worker, version in facts.worker.plugins.items():
        if version is None:
            yield Trouble(
                "fail",
                f"the worker {worker} has no Debezium connector for PostgreSQL",
                "install it below plugin.path and restart the worker",
            )


@check(22, _FAMILY, "options", "Connect takes a misspelt option without a word, and the default holds")
def judge_options(facts: Facts) -> Iterator[Trouble]:
    """Require: every option is known, none is deprecated, and Connect's own check finds nothing."""
    for name in sorted(facts.config.keys() - {"name"}):
        if not is_known(name, dict(facts.config)) and not _is_general(name):
            yield Trouble("fail", f"no connector knows the option {name}", find_close(name) or "take it out")
        elif remedy := find_deprecation(name):
            yield Trouble("warn", f"the option {name} is deprecated", remedy)
    for name, told in facts.worker.refused.items():
        yield Trouble("fail", f"Connect refuses {name}: {' '.join(told)}", "correct it, and `cdc apply`")


def _is_general(name: str) -> bool:
    """Tell whether Connect itself knows *name*, for every connector."""
    return name in (
        "connector.class",
        "connector.plugin.version",
        "config.action.reload",
        "converters",
        "post.processors",
    ) or name.startswith("errors.")


@check(23, _FAMILY, "secrets", "a password in plain text lies in a Kafka topic and is shown to everyone who asks Connect")
def judge_secrets(facts: Facts) -> Iterator[Trouble]:
    """Require: secrets are references that the worker resolves."""
    for name, value in facts.config.items():
        if not is_secret_name(name) or is_reference(value) or not value:
            continue
        remedy = f"put it where the worker can read it, set {name} = ${{file:/path:key}} or ${{env:NAME}}, then change the secret itself"
        given = (
            facts.declared.password
            if facts.declared and name == "database.password"
            else facts.declared.options.get(name)
            if facts.declared
            else None
        )
        fix = None
        if given and is_reference(given):
            fix = Fix(
                "config", "the worker checks the reference before it is written; nothing else changes", values={name: given}
            )
        yield Trouble("fail", f"{name} stands in plain text in Connect's configuration", remedy, fix)


@check(24, _FAMILY, "states", "a failed task is never restarted by itself, and a paused one keeps WAL")
def judge_state(facts: Facts) -> Iterator[Trouble]:
    """Require: the connector runs with a task, and none has failed."""
    state, name = facts.worker.state, facts.names.connector
    if not facts.exists:
        return
    if state is None:
        yield Trouble("fail", f"{name} has no status", "ask again in a moment, then `cdc restart`")
    elif state.failure:
        kind, cause, remedy = classify(state.failure)
        fix = RESTART
        yield Trouble("fail", f"{name} failed ({kind}): {cause}", f"{remedy}; then `cdc restart`", fix)
    elif state.state in ("PAUSED", "STOPPED"):
        yield Trouble("fail", f"{name} is {state.state}", "`cdc resume`, or `cdc teardown` if it is no longer needed")
    elif not state.is_running:
        yield Trouble("fail", f"{name} is {state}", "wait for the rebalance to end, then `cdc restart`")


@check(25, _FAMILY, "offsets", "an offset that the slot is past makes the connector fail, or skip what lies between")
def judge_offsets(facts: Facts) -> Iterator[Trouble]:
    """Require: one offset, for our prefix, at a position that the slot still has."""
    offsets, reset = facts.worker.offsets, "`cdc stop`, then `cdc offsets`: reset or set"
    for each in offsets:
        if each.get("partition") != {"server": facts.names.prefix}:
            yield Trouble("fail", f"an offset belongs to {each.get('partition')}, which no connector has", reset)
    given = find_offset(offsets, facts.names.prefix)
    if not given:
        return
    position = given.get("lsn_commit") or given.get("lsn_proc") or given.get("lsn")
    if not isinstance(position, int):
        yield Trouble("fail", f"the offset's position is {position!r}, and no number", reset)
        return
    slot = facts.slot
    stands = facts.worker.state is None or facts.worker.state.state != "RUNNING" or bool(facts.worker.state.failure)
    if slot is not None and stands and position < slot["confirmed_bytes"]:
        what = f"the offset is {slot['confirmed_bytes'] - position:,} bytes before what the slot {facts.names.slot} still has"
        yield Trouble(
            "fail",
            what,
            "`cdc teardown` and `cdc apply` take a new snapshot; or `cdc offsets`: set, which skips what lies between",
        )


@check(26, _FAMILY, "leftovers", "a new connector of an old name takes the old offsets up, and takes no snapshot")
def judge_leftovers(facts: Facts) -> Iterator[Trouble]:
    """Require: no connector that is gone has left offsets under the name that this one has or is to have."""
    if facts.exists:
        return
    if facts.names.connector in facts.worker.leftovers:
        what = f"a deleted connector {facts.names.connector} left its offsets"
        remedy = "`cdc apply` clears them when their slot is gone; otherwise choose another name"
        yield Trouble("warn", what, remedy)


@check(27, _FAMILY, "exactly once", "after a crash of the worker some changes come twice")
def judge_exactness(facts: Facts) -> Iterator[Trouble]:
    """Require: the worker supports exactly-once sources, and the connector requires it."""
    if not facts.worker.exactly_once:
        yield Trouble(
            "warn",
            "the worker has no exactly-once support",
            "exactly.once.source.support = enabled on every worker, then restart them",
        )
    elif facts.option("exactly.once.support", "requested") != "required":
        remedy = "exactly.once.support = required (the task restarts; readers use isolation.level = read_committed)"
        yield Trouble("info", "exactly.once.support is not required", remedy)


@check(28, _FAMILY, "conflicts", "two connectors write into the same topics, and neither's order holds")
def judge_conflicts(facts: Facts) -> Iterator[Trouble]:
    """Require: no other connector has our topic prefix, signal table or signal topic."""
    for name, config in facts.worker.connectors.items():
        if name == facts.names.connector:
            continue
        if config.get("topic.prefix") == facts.names.prefix:
            yield Trouble(
                "fail", f"{name} has the topic.prefix {facts.names.prefix} too", "give each connector its own topic.prefix"
            )
        for option in ("signal.data.collection", "signal.kafka.topic"):
            same = config.get("database.dbname") == facts.config.get("database.dbname") or option == "signal.kafka.topic"
            if same and facts.config.get(option) and config.get(option) == facts.config[option]:
                yield Trouble("warn", f"{name} listens to {facts.config[option]} too", f"give each connector its own {option}")
