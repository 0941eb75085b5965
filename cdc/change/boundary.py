"""Transaction boundaries, from the topic `<prefix>.transaction` of a connector with `provide.transaction.metadata=true`.

The id reads `<tx id>:<lsn>` and its second part differs between BEGIN, the rows and END: only the first part joins them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cdc.change.envelope import part_payload
from eventstore.errors import UndecodableRecord


@dataclass(frozen=True, slots=True)
class Boundary:
    """A transaction's BEGIN, or its END with how many changes it made to which tables."""

    status: Literal["BEGIN", "END"]
    tx_id: int
    event_count: int | None
    tables: dict[str, int]


def read_boundary(value: bytes) -> Boundary:
    """Read one record of the transaction topic, with or without schema. Raises UndecodableRecord for anything else."""
    payload: Any = part_payload(value)
    try:
        return Boundary(
            {"BEGIN": "BEGIN", "END": "END"}[payload["status"]],  # pyright: ignore[reportArgumentType]
            int(payload["id"].partition(":")[0]),
            payload["event_count"],
            {one["data_collection"]: one["event_count"] for one in payload["data_collections"] or ()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UndecodableRecord(f"not a transaction record: {error!r}; its topic ends in .transaction") from error
