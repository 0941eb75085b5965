"""Checks of Kafka: Connect's own topics, the tables' topics, and whether a message goes all the way."""

from __future__ import annotations

from collections.abc import Iterator

from cdc.connect.config import name_topic
from cdc.doctor.check import RESTART, Fix, Trouble, check
from cdc.doctor.facts import Facts

_FAMILY = "topic"
_DAY_MS = 86_400_000


@check(29, _FAMILY, "Connect's own topics", "configurations and offsets are deleted with age, and every connector begins anew")
def judge_internal(facts: Facts) -> Iterator[Trouble]:
    """Require: they are compacted, copied, and the configurations' has one partition."""
    for kind, topic in facts.log.internal.items():
        name = kind.partition("=")[2]
        if topic is None:
            remedy = "set REFOLD_CONNECT_INTERNAL_PREFIX to what comes before -config, -offset and -status, or make them anew"
            yield Trouble("info", f"Connect's topic {name} was not found", remedy)
            continue
        if "compact" not in topic.config.get("cleanup.policy", ""):
            yield Trouble(
                "fail", f"{name} is not compacted", f"kafka-configs.sh --alter --topic {name} --add-config cleanup.policy=compact"
            )
        if kind.startswith("config=") and topic.partitions != 1:
            yield Trouble(
                "fail", f"{name} has {topic.partitions} partitions, and its order matters", "make it anew with one partition"
            )
        if facts.log.brokers >= 3 and int(topic.config.get("min.insync.replicas", "1")) < 2:
            remedy = f"kafka-configs.sh --alter --topic {name} --add-config min.insync.replicas=2"
            yield Trouble("warn", f"{name} counts as written when one of {facts.log.brokers} brokers has it", remedy)


@check(30, _FAMILY, "the tables' topics", "history that is gone can't be replayed, and a compacted topic holds no history")
def judge_topics(facts: Facts) -> Iterator[Trouble]:
    """Require: they exist or will be made, keep what is declared, and begin at offset zero."""
    wanted = facts.declared.cleanup if facts.declared else "delete"
    keep = facts.declared.retention_ms if facts.declared else -1
    for name in (name_topic(facts.names.prefix, table) for table in facts.tables):
        topic = facts.log.topics.get(name)
        if topic is None:
            if facts.exists and "topic.creation.default.partitions" not in facts.config:
                remedy = (
                    "`cdc apply` makes it; or set topic.creation.default.partitions and topic.creation.default.replication.factor"
                )
                yield Trouble(
                    "warn", f"{name} does not exist, and only the broker's auto.create.topics.enable would make it", remedy
                )
            continue
        policy, retention = topic.config.get("cleanup.policy", "delete"), int(topic.config.get("retention.ms", "-1"))
        if "compact" in policy and "compact" not in wanted:
            remedy = f'kafka-configs.sh --alter --topic {name} --add-config cleanup.policy=delete, or declare cleanup = "compact"'
            yield Trouble("fail", f"{name} is compacted, so only the last change of each key stays", remedy)
        if "compact" in policy and "t" not in facts.option("skipped.operations", "t"):
            remedy = "skipped.operations = t: Kafka refuses a record without key in a compacted topic, and the task fails"
            yield Trouble("fail", f"{name} is compacted, and a TRUNCATE gives a record without key", remedy)
        if "delete" in policy and retention != -1 and (keep == -1 or retention < keep):
            fix = Fix(
                "topic", "records are kept for longer, and nothing is deleted", name=name, values={"retention.ms": str(keep)}
            )
            remedy = f"kafka-configs.sh --alter --topic {name} --add-config retention.ms={keep}"
            yield Trouble(
                "fail", f"{name} keeps records for {retention / _DAY_MS:.1f} days, and a replay needs them all", remedy, fix
            )
        if topic.trimmed:
            remedy = "take the table's rows again (`cdc snapshot`) before a projection is rebuilt from it"
            yield Trouble(
                "fail", f"{topic.trimmed} of {topic.partitions} partitions of {name} no longer begin at offset 0", remedy
            )


@check(31, _FAMILY, "size of records", "one row that is larger than a topic takes ends the task")
def judge_sizes(facts: Facts) -> Iterator[Trouble]:
    """Require: the largest row seen, with its schema, fits into the topic and the producer's request."""
    request = int(facts.option("producer.override.max.request.size", str(1 << 20)))
    for table in facts.source.tables:
        topic = facts.log.topics.get(name_topic(facts.names.prefix, table["name"]))
        limit = min(request, int(topic.config.get("max.message.bytes", str(1 << 20))) if topic else request)
        largest = int(table["largest"] or 0)
        if largest * 2 > limit:
            remedy = f"producer.override.max.request.size = {largest * 4}, and max.message.bytes={largest * 4} on the topic"
            yield Trouble(
                "warn",
                f"a row of {table['name']} has {largest:,} bytes, and a record may have {limit:,} with old row and new",
                remedy,
            )


@check(32, _FAMILY, "a message all the way", "everything is called RUNNING, and nothing arrives")
def judge_proof(facts: Facts) -> Iterator[Trouble]:
    """Require: a message that was written into the log now was confirmed by the connector."""
    if facts.log.proof:
        yield Trouble(
            "fail",
            f"no message came through: {facts.log.proof}",
            "`cdc restart`; see the Connect worker's log",
            RESTART,
        )


@check(33, _FAMILY, "lag", "read models answer with what was true a while ago")
def judge_lag(facts: Facts) -> Iterator[Trouble]:
    """Require: the connector is not further behind than a tenth of the WAL's budget."""
    slot = facts.slot
    if slot is not None and slot["active"] and slot["lag"] > facts.budget_bytes // 10:
        what = f"the connector is {slot['lag']:,} bytes of WAL behind"
        yield Trouble("warn", what, "raise max.batch.size and max.queue.size, or look for a long transaction (RF-CDC-17)")
