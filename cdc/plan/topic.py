"""The steps in Kafka: a topic a table, kept as long and as compacted as declared; one for signals and one for notifications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cdc.connect.config import Names, name_topic
from cdc.connect.declaration import Connector
from cdc.finding import Finding
from cdc.plan.step import Change, Step
from cdc.plan.world import Topic, World

_REASONS = {
    "retention.ms": "a replay from the beginning needs all of it",
    "cleanup.policy": "compaction keeps the last change of each key only",
}


def list_topics(connector: Connector, names: Names) -> dict[str, tuple[int, dict[str, str]]]:
    """Give each topic's wanted partitions and configuration by name."""
    if connector.adopted is not None and not connector.adopted.topics:
        return {}
    data = {"cleanup.policy": connector.cleanup, "retention.ms": str(connector.retention_ms)}
    wanted = {name_topic(names.prefix, table): (connector.partitions, data) for table in connector.tables}
    if connector.signals is not None and connector.adopted is None:
        wanted[f"{names.prefix}.notification"] = (1, {"cleanup.policy": "delete"})
    if connector.signals == "kafka" and connector.adopted is None:
        wanted[f"{names.prefix}.signal"] = (1, {"cleanup.policy": "delete"})
    return wanted


def plan_topics(connector: Connector, names: Names, world: World) -> Iterator[Step]:
    """Give the steps in Kafka. An adopted connector's missing topics are left to whoever made them until now."""
    for name, (partitions, config) in list_topics(connector, names).items():
        there = world.topics.get(name)
        if there is None:
            if connector.adopted is None:
                yield _create(name, partitions, config)
            continue
        changes = tuple(
            Change(option, there.config.get(option), value, _REASONS.get(option, ""))
            for option, value in config.items()
            if not _is_equal(there.config.get(option), value)
        )
        if changes:
            text = "it differs from its declaration"
            yield Step(
                "Kafka", "~", "topic", name, "alter-topic", text, changes, values={each.name: each.new or "" for each in changes}
            )


def check_topics(connector: Connector, names: Names, topics: Mapping[str, Topic]) -> list[Finding]:
    """Judge what no step mends: partitions, and history that is gone."""
    found: list[Finding] = []
    for name, (partitions, _) in list_topics(connector, names).items():
        there = topics.get(name)
        if there is None or there.partitions == partitions:
            continue
        what = f"topic {name} has {there.partitions} partitions and not {partitions}"
        remedy = (
            f"declare partitions = {there.partitions}: changing the number would move keys, and break the order of their changes"
        )
        found.append(Finding("warn", "partitions", what, remedy))
    return found


def _create(name: str, partitions: int, config: Mapping[str, str]) -> Step:
    changes = (Change("partitions", None, str(partitions)), *(Change(option, None, value) for option, value in config.items()))
    reason = "made before the connector, so that it is as declared whatever the broker's defaults are"
    return Step("Kafka", "+", "topic", name, "create-topic", reason, changes, values=config, partitions=partitions)


def _is_equal(there: str | None, wanted: str) -> bool:
    """Compare as sets: `compact,delete` and `delete,compact` are one policy."""
    return there is not None and sorted(there.split(",")) == sorted(wanted.split(","))
