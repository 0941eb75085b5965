"""A bank whose SQL minds how records are cut into batches: each one counts how many came with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from projections import Projection
from tests.bank.events import MoneyMoved

projection = Projection("careless")


@dataclass(slots=True)
class Crowd:
    stream: str
    version: int
    together: int


crowd = projection.table(Crowd, key=("stream", "version"))


@projection.sql_batch(MoneyMoved, apart=True)
def count(connection: sa.Connection, envelopes: Sequence[Any]) -> None:
    rows = [{"stream": each.stream, "version": each.version, "together": len(envelopes)} for each in envelopes]
    connection.execute(sa.insert(crowd.table), rows)
