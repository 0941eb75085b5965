"""The events topic: made once, kept for ever, its number of partitions never changed."""

from __future__ import annotations

from typing import NoReturn

from eventstore.errors import HistoryIncomplete, PreconditionFailed
from eventstore.log.admin import Admin
from eventstore.settings import KafkaSettings


async def ensure_events_topic(settings: KafkaSettings) -> str:
    """Make the events topic if it is missing, and give its name.

    Raises PreconditionFailed when it exists with another number of partitions, since a stream would move to another one and
    lose its order, or with fewer copies that must agree; HistoryIncomplete when it does not keep every record.
    """
    name = settings.events_topic
    async with Admin.open(settings) as admin:
        if await admin.create_topic(name, settings.partitions, _configuration(settings)):
            return name
        found = await admin.wait_visible(name)
        if found != settings.partitions:
            told = f"has {found} partitions, REFOLD_KAFKA_PARTITIONS says {settings.partitions}"
            refuse_moved(name, told, found=found, configured=settings.partitions)
        configuration = await admin.configuration(name)
        require_kept(name, configuration)
        _require_copies(name, configuration, settings)
    return name


async def ensure_topic(settings: KafkaSettings, name: str, partitions: int) -> None:
    """Make topic *name* like the events topic, if it is missing. Raises PreconditionFailed, HistoryIncomplete when it is another one."""
    async with Admin.open(settings) as admin:
        if await admin.create_topic(name, partitions, _configuration(settings)):
            return
        found = await admin.wait_visible(name)
        if found != partitions:
            raise PreconditionFailed(
                f"topic {name} has {found} partitions, and what is written there has {partitions}", topic=name
            )
        require_kept(name, await admin.configuration(name))


def refuse_moved(name: str, told: str, **facts: int) -> NoReturn:
    """Raise PreconditionFailed: topic *name* does not have the partitions that it began with, as *found* says."""
    raise PreconditionFailed(
        f"topic {name} {told}: a stream's partition must never change, or its events are read out of order. Set "
        "REFOLD_KAFKA_PARTITIONS to the number that the topic began with; a topic that was extended can't be mended, since Kafka "
        "takes no partition away: choose another REFOLD_KAFKA_TOPIC_PREFIX and relay everything again.",
        topic=name,
        **facts,
    )


def require_kept(name: str, configuration: dict[str, str]) -> None:
    """Raise HistoryIncomplete when *configuration* lets records of topic *name* go."""
    policy, retention, size = (configuration.get(each, "") for each in ("cleanup.policy", "retention.ms", "retention.bytes"))
    if policy != "delete" or retention != "-1" or size != "-1":
        raise HistoryIncomplete(
            f"topic {name} loses records: cleanup.policy={policy}, retention.ms={retention}, retention.bytes={size}. A rebuild "
            "needs all of them: set cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1.",
            topic=name,
        )


def _require_copies(name: str, configuration: dict[str, str], settings: KafkaSettings) -> None:
    found = int(configuration.get("min.insync.replicas") or 1)
    if found < settings.min_insync_wanted:
        raise PreconditionFailed(
            f"topic {name} has min.insync.replicas={found}: a record counts as written before {settings.min_insync_wanted} brokers have "
            f"it. Set it on the topic (kafka-configs --alter --add-config min.insync.replicas={settings.min_insync_wanted}), or accept "
            f"it with REFOLD_KAFKA_MIN_INSYNC={found}.",
            topic=name,
            found=found,
        )


def _configuration(settings: KafkaSettings) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": str(settings.min_insync_wanted),
        "max.message.bytes": str(settings.max_message_bytes),
        "message.timestamp.type": "CreateTime",
    }
