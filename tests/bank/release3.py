"""The bank as a diary: every move is a row of its own, which is added and never seen again."""

from dataclasses import dataclass

from eventstore.envelope import Envelope
from projections import Projection, Projections
from tests.bank.events import MoneyMoved


@dataclass(slots=True)
class Entry:
    reference: str
    account: str
    amount: int


diary = Projection("bank", version=3)
entry = diary.table(Entry, key="reference", indexes=[("account",)])


@entry.add(MoneyMoved)
def noted(event: MoneyMoved, envelope: Envelope[MoneyMoved]) -> Entry | list[Entry] | None:
    """A fee leaves no entry, a payment two; a move of kind `again` claims the reference of the stream's first."""
    reference = f"{envelope.stream}/{1 if event.kind == 'again' else envelope.version}"
    made = Entry(reference, event.account, event.amount)
    if event.kind == "fee":
        return None
    return [made, Entry(f"{reference}/mirror", event.account, -event.amount)] if event.kind == "payment" else made


app = Projections(diary)
