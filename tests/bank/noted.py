"""A release of the bank that reads one more topic, of plain text notes."""

from dataclasses import dataclass

from eventstore.source import Message
from projections import Projections
from tests.bank.read_model import declare
from tests.bank.release1 import moved

bank = declare(5, moved)


class Notes:
    """Records whose key is an account and whose value is a text."""

    name = "notes"
    messages = ("note",)

    def topic(self, settings):
        return f"{settings.topic_prefix}.notes"

    def reader(self, wanted):
        return lambda record: Message("note", record.value.decode(), (record.key.decode(),), record)

    def detail(self, body, raw):
        return raw

    def position(self, record):
        return None


@dataclass(slots=True)
class Note:
    account: str
    text: str = ""


note = bank.projection.table(Note, key="account")


@note.on_change(Notes())
def noted(text, row):
    return Note(text.partition(" ")[0], text)


app = Projections(bank.projection)
