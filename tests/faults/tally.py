"""A read model whose five figures differ in algebra: sum and count show repetitions, echo, low and high show losses."""

from dataclasses import dataclass, field

from eventstore.envelope import Envelope
from projections import Projection, Projections, Table
from tests.bank.events import MoneyMoved

projection = Projection("tally", version=1)


@dataclass(slots=True)
class Tally:
    stream: str
    echo: int = 0
    moves: int = 0
    total: int = 0
    low: int = 0
    high: int = 0
    versions: list[int] = field(default_factory=list)


table: Table[Tally] = projection.table(Tally, key="stream")


@table.on(MoneyMoved)
def tallied(event: MoneyMoved, row: Tally | None, envelope: Envelope[MoneyMoved]) -> Tally:
    row = row or Tally(envelope.stream, low=event.amount, high=event.amount)
    row.echo = event.amount
    row.moves += 1
    row.total += event.amount
    row.low, row.high = min(row.low, event.amount), max(row.high, event.amount)
    row.versions.append(envelope.version)
    return row


app = Projections(projection)
