"""From a failed task's stack trace to one sentence of cause and one of remedy."""

from __future__ import annotations

import re
from typing import NamedTuple


class Diagnosis(NamedTuple):
    """What a trace says, and what helps."""

    kind: str
    cause: str
    remedy: str


_KNOWN = (
    ("password", r"password authentication failed|no password was provided", "check the password that the reference gives the worker"),
    ("address", r"Connection to \S+ refused|UnknownHostException|connection attempt failed", ("check that the Connect worker "
     "reaches the database's host and port; worker_address gives the address as the worker sees it")),
    ("reference", r"Could not read properties from file|Error while getting directory content|ConfigException.*(provider|\$\{)",
     "check the secret's reference and that the worker may read it and has config.providers=env,file,dir"),
    ("permission", r"permission denied|must be superuser|must be owner|no pg_hba\.conf entry", ("grant the role REPLICATION, USAGE on "
     "the schema and SELECT on the tables")),
    ("slot busy", r"replication slot .* is active", "end the other connector, or the walsender that pg_replication_slots names"),
    ("slots used up", r"all replication slots are in use", "raise max_replication_slots or drop slots no one uses (pg_replication_slots)"),
    ("wal gone", r"no longer available on the server|requested WAL segment .* removed|slot .* was invalidated|can no longer get changes",
     "the log the connector needs is gone: `cdc recover` takes a new snapshot, and proves that read models equal their source"),
    ("slot missing", r"replication slot .* does not exist", "the slot was dropped: `cdc recover` takes a new snapshot"),
    ("publication", r"publication .* does not exist", "run `cdc apply`, which creates the publication"),
    ("too large", r"RecordTooLargeException", "raise max.message.bytes of the topic and producer.override.max.request.size"),
    ("value", r"Failed to properly convert data value for '([^']+)'", ("Debezium can't send an unchanged TOAST value, or an inner array, "
     "of this type: ALTER TABLE … REPLICA IDENTITY FULL for the future, and event.converting.failure.handling.mode=warn under "
     "[options] to get past this record (its value arrives as NULL)")),
    ("fenced", r"ProducerFencedException|InvalidProducerEpoch", "another worker runs this task; `cdc restart` after the rebalance"),
)  # fmt: skip


def classify(trace: str) -> Diagnosis:
    """Find the cause in *trace*: the innermost line that says one, and what usually helps."""
    lines = [line.strip() for line in trace.splitlines() if line.strip() and not line.lstrip().startswith(("at ", "..."))]
    causes = [line.removeprefix("Caused by: ") for line in lines]
    for kind, pattern, remedy in _KNOWN:
        for cause in reversed(causes):
            if re.search(pattern, cause):
                return Diagnosis(kind, _trim(cause), remedy)
    return Diagnosis("unknown", _trim(causes[-1]) if causes else "no trace", "see the Connect worker's log")


def _trim(cause: str) -> str:
    return re.sub(r"^([a-z]\w*\.)+", "", cause)[:300]
