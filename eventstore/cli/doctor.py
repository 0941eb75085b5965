"""`eventstore doctor`: say what is wrong with the store and the relay, who holds ordered readers back, and what to do.

Exit code 3 when anything is wrong, so that a cron job or a deployment can ask. Kafka is looked at only if it answers.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from eventstore.cli.program import add_command
from eventstore.console import Output
from eventstore.errors import PreconditionFailed, RefoldError

if TYPE_CHECKING:
    from eventstore.postgres.checkup import Finding

_KAFKA_TIMEOUT_S = 5.0


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(commands, "doctor", "Say what is wrong, who holds ordered readers back, and what to do.", doctor)
    parser.add_argument(
        "--limit", metavar="S", type=float, default=10.0, help="seconds that readers and relay may lag before that is wrong (10)"
    )


async def doctor(arguments: argparse.Namespace, output: Output) -> int:
    """Print every finding; 3 when one is wrong."""
    from eventstore.postgres.engine import open_engine

    engine = open_engine(application="eventstore doctor")
    try:
        findings, facts = await _examine(engine, arguments.limit)
    finally:
        await engine.dispose()
    facts["findings"] = [each.facts() for each in findings]
    lines = [
        f"{each.level:7} {each.check}: {each.message}" + (f"\n        -> {each.action}" if each.action else "")
        for each in findings
    ]
    output.result(facts, "\n".join(lines))
    return PreconditionFailed.exit_code if any(each.level == "wrong" for each in findings) else 0


async def _examine(engine: Any, limit_s: float) -> tuple[list[Finding], dict[str, Any]]:
    """Make every check that is possible, the schema's first."""
    from eventstore.postgres.access import check_roles, check_wires
    from eventstore.postgres.checkup import check_horizon, check_schema, check_server
    from eventstore.settings import KafkaSettings, PostgresSettings

    findings, facts = [await check_schema(engine)], dict[str, Any]()
    if findings[0].level == "ok":
        found, horizon = await check_horizon(engine, limit_s)
        relay, facts["relay"] = await _check_relay(engine, limit_s)
        facts["horizon"] = horizon.facts()
        findings += [found, relay, *await check_server(engine, PostgresSettings()), await check_roles(engine)]
        findings += check_wires(PostgresSettings(), KafkaSettings())
    return findings, facts


async def _check_relay(engine: Any, limit_s: float) -> tuple[Finding, dict[str, Any] | None]:
    """Compare the end of the log with the store: a relay that died shows no lag of its own."""
    from eventstore.postgres.checkup import Finding
    from eventstore.relay.lag import find_lag
    from eventstore.settings import KafkaSettings
    from eventstore.stream import START

    kafka = KafkaSettings().model_copy(update={"request_timeout_s": _KAFKA_TIMEOUT_S})
    try:
        lag = await find_lag(engine, kafka)
    except RefoldError as error:
        return Finding("relay", "unknown", str(error)), None
    waiting = f"{lag.waiting} readable events are not in it, the first for {lag.lag_s:.1f} s"
    said = f"topic {lag.topic} ends at position {lag.position}; {waiting}"
    if lag.lag_s <= limit_s:
        return Finding("relay", "ok", said), lag.facts()
    if lag.position == START:
        return Finding("relay", "warn", said, "start one, if events are to reach Kafka: eventstore relay"), lag.facts()
    return Finding("relay", "wrong", said, "look at the relay's log, or start one: eventstore relay"), lag.facts()
