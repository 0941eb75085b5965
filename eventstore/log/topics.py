"""The events topic: made once, kept for ever, its number of partitions never changed."""

from __future__ import annotations

from eventstore.errors import HistoryIncomplete, PreconditionFailed
from eventstore.log.admin import Admin
from eventstore.settings import KafkaSettings


async def ensure_events_topic(settings: KafkaSettings) -> str:
    """Make the events topic if it is missing, and give its name.

    Raises PreconditionFailed when it exists with another number of partitions, since a stream would move to another one and
    lose its order, and HistoryIncomplete when it does not keep every record.
    """
    name = settings.events_topic
    async with Admin.open(settings) as admin:
        if await admin.create_topic(name, settings.partitions, _configuration(settings)):
            return name
        found = await admin.wait_visible(name)
        if found != settings.partitions:
            raise PreconditionFailed(
                f"topic {name} has {found} partitions, REFOLD_KAFKA_PARTITIONS says {settings.partitions}: a stream's partition "
                f"must never change. Set REFOLD_KAFKA_PARTITIONS={found}, or choose another REFOLD_KAFKA_TOPIC_PREFIX and relay "
                "everything again.",
                topic=name,
                found=found,
                configured=settings.partitions,
            )
        require_kept(name, await admin.configuration(name))
    return name


def require_kept(name: str, configuration: dict[str, str]) -> None:
    """Raise HistoryIncomplete when *configuration* lets records of topic *name* go."""
    policy, retention, size = (configuration.get(each, "") for each in ("cleanup.policy", "retention.ms", "retention.bytes"))
    if policy != "delete" or retention != "-1" or size != "-1":
        raise HistoryIncomplete(
            f"topic {name} loses records: cleanup.policy={policy}, retention.ms={retention}, retention.bytes={size}. A rebuild "
            "needs all of them: set cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1.",
            topic=name,
        )


def _configuration(settings: KafkaSettings) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(settings.max_message_bytes),
        "message.timestamp.type": "CreateTime",
    }
