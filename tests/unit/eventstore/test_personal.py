"""What event classes say of persons, and how redacted values pass through them."""

import copy
import dataclasses
import pickle
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from pydantic import TypeAdapter

from eventstore.codec import decode, encode
from eventstore.envelope import RawEvent
from eventstore.errors import ForgottenSubject, PreconditionFailed, UndecodableRecord, UsageError
from eventstore.event import Events, event, registry
from eventstore.log.events import EventSource
from eventstore.privacy import REDACTED, SEALED, Keyring, Personal, Subject, SubjectKey, is_redacted
from eventstore.privacy.cipher import make_key
from eventstore.privacy.seal import find_headers, name_header, read_header
from eventstore.sealer import describe_error
from eventstore.task import name_event


@dataclasses.dataclass
class Address:
    street: Personal[str]
    city: str = ""


@dataclasses.dataclass
class Guest:
    guest: Subject[str]
    name: Personal[str]
    born: Personal[date | None] = None
    homes: list[Address] = dataclasses.field(default_factory=list)
    phones: dict[str, Personal[str]] = dataclasses.field(default_factory=dict)
    nearest: "Address | None" = None
    next: "Guest | None" = None


class Card(msgspec.Struct, frozen=True):
    card: str
    owner: Personal[str]
    until: Personal[int] = 0
    note: str = "-"


def declare(python: type, **options: Any) -> Any:
    events = Events()
    return events.add("personal-test", 1, python, **options)


class Memory:
    """Keys in memory, which counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: dict[str, SubjectKey] = {}
        self.asked = 0

    async def claim(self, subjects):
        self.asked += 1
        return {each: self.keys.setdefault(each, SubjectKey(uuid4(), make_key())) for each in subjects}

    async def find(self, ids):
        self.asked += 1
        return {each.id: each for each in self.keys.values() if each.id in ids}

    async def look(self, subject):
        return self.keys[subject].id if subject in self.keys else None

    async def destroy(self, subject):
        self.keys[subject] = self.keys[subject]._replace(key=None)
        return self.keys[subject].id


def test_paths() -> None:
    """Personal fields are found in nested classes, lists, mappings and behind None, and once in a class that holds itself."""
    assert set(declare(Guest).privacy.paths) == {
        ("name",),
        ("born",),
        ("homes", "*", "street"),
        ("phones", "*"),
        ("nearest", "street"),
    }
    assert declare(Address, subject="city").privacy.paths == (("street",),)
    assert declare(Card, subject="card").privacy.paths == (("owner",), ("until",))


def test_subject() -> None:
    """The subject comes from a marked field, a named one or a function, and personal data of nobody is refused."""
    assert declare(Guest).privacy.subject_of(Guest("g-1", "Ada")) == "g-1"
    assert declare(Card, subject=lambda card: card.card[:2]).privacy.subject_of(Card("c-1", "Ada")) == "c-"
    with pytest.raises(UsageError, match=r"owner.*no subject"):
        _ = declare(Card).privacy
    for nobody in ("", None):
        with pytest.raises(UsageError, match="names no subject"):
            declare(Guest).privacy.subject_of(Guest(nobody, "Ada"))


@pytest.mark.parametrize("lost", [REDACTED, SEALED])
def test_redacted_in_any_field(lost: Any) -> None:
    """A redacted value passes validation whatever the field's type, stays itself through copies and JSON, and is a text."""
    guest = declare(Guest).decode(
        {"guest": "g", "name": lost, "born": lost, "homes": [{"street": lost}], "phones": {"a": lost}}, 1
    )
    for each in (guest.name, guest.born, guest.homes[0].street, guest.phones["a"]):
        assert is_redacted(each)
        assert each is copy.deepcopy(each)
        assert pickle.loads(pickle.dumps(each)) == lost
    again = declare(Guest).decode(decode(encode(guest)), 1)
    assert (again.born, again.name) == (lost, lost)
    assert is_redacted(again.born)
    assert guest.name.partition("[")[1] == "["
    card = declare(Card, subject="card").decode({"card": "c", "owner": lost, "until": lost}, 1)
    assert (card.owner, card.until, card.note) == (lost, lost, "-")
    assert declare(Card, subject="card").decode({"card": "c", "owner": "Ada", "until": 5}, 1) == Card("c", "Ada", 5)


def test_sealed_without_opener() -> None:
    """Data that is still sealed reads as SEALED wherever it is decoded, not as an error and not as a dictionary."""
    sealed = {"$sealed": name_header(uuid4()) + "AAAA"}
    guest = declare(Guest).decode({"guest": "g", "name": sealed, "born": {"$sealed": None}}, 1)
    assert (guest.name, guest.born) == (SEALED, REDACTED)
    with pytest.raises(UndecodableRecord) as caught:
        declare(Guest).decode({"guest": "g", "name": 5, "homes": "Ada's"}, 1)
    assert "name.str: string_type" in str(caught.value)
    assert "Ada" not in str(caught.value)


def test_schema() -> None:
    """The JSON Schema of a personal field is that of its type, with a note."""
    schema = TypeAdapter(Guest).json_schema()
    assert schema["$defs"]["Guest"]["properties"]["name"]["type"] == "string"
    assert "personal" in schema["$defs"]["Guest"]["properties"]["name"]["$comment"]


def test_others_untouched() -> None:
    """A source knows which types have personal fields, so that the others are read by a reader that knows nothing of sealing."""
    events = Events()
    events.add("plain-test", 1, dataclasses.make_dataclass("Plain", ["a"]))
    events.add("card-test", 1, Card, subject="card")
    source = EventSource(events)
    assert [source.has_personal(frozenset({each})) for each in ("plain-test", "card-test")] == [False, True]
    assert registry.find("nothing") is None


def test_headers() -> None:
    """The header of a key is 24 characters, found in JSON however it is spaced, and an unknown form is refused."""
    key = uuid4()
    header = name_header(key)
    assert (len(header), read_header(header)) == (24, key)
    for text in (f'{{"a":{{"$sealed":"{header}xx"}}}}', f'{{"a": {{"$sealed": "{header}xx"}}}}'):
        assert find_headers([text]) == find_headers([text.encode(), None]) == {header}
    with pytest.raises(UsageError, match="newer than this release"):
        read_header("A" * 24)


async def test_keys_expire() -> None:
    """A key is asked for again after its time and not before; that it is gone is believed for ever."""
    now, store = [0.0], Memory()
    ring = Keyring(store, cache_s=10, clock=lambda: now[0])
    await ring.claim(["a"])
    header, _ = ring.sealing("a")
    await ring.fetch([header])
    await ring.fetch([header])
    assert store.asked == 2
    await store.destroy("a")
    now[0] = 9.9
    await ring.fetch([header])
    assert ring.cipher(header) is not None
    now[0] = 10
    await ring.fetch([header])
    assert ring.cipher(header) is None
    await ring.claim(["a"])
    with pytest.raises(ForgottenSubject, match="'a'"):
        ring.sealing("a")
    asked = store.asked
    now[0] = 1e9
    await ring.fetch([header])
    assert store.asked == asked


async def test_keys_bounded() -> None:
    """At most so many keys are held beside those in use, and one batch asks once."""
    store = Memory()
    ring = Keyring(store, cache_keys=10)
    for start in range(0, 100, 20):
        await ring.claim([str(each) for each in range(start, start + 20)])
    assert store.asked == 5
    assert len(ring._by_subject) <= 20
    with pytest.raises(PreconditionFailed, match="not in the key store"):
        await ring.fetch([name_header(UUID(int=1))])


def test_waiting_in_the_open() -> None:
    """An event with personal fields can't be scheduled, as an instance or by its name, and errors about it are not quoted."""
    event("personal-test-waiting", subject="card")(Card)
    for waiting in (Card("c", "Ada"), RawEvent("personal-test-waiting", {"card": "c", "owner": "Ada"})):
        with pytest.raises(UsageError, match="command wait"):
            name_event(waiting)
    assert describe_error(ValueError("Ada"), "personal-test-waiting").startswith("ValueError: its words are withheld")
    assert describe_error(ValueError("Ada"), "another") == "ValueError: Ada"
