"""The customers of another department's program, and what happens to them in our words."""

from dataclasses import dataclass

from cdc import CapturedTable, Change
from cdc.translate import Translation, Translations
from eventstore import event


@event("crm-customer-registered")
@dataclass(frozen=True)
class Registered:
    name: str


@event("crm-customer-moved")
@dataclass(frozen=True)
class Moved:
    city: str


@event("crm-customer-left")
@dataclass(frozen=True)
class Left:
    pass


customers = Translation("customers", CapturedTable("operations", "public.customer"), stream="customer-{id}")


@customers.on("c", "r")
def register(change: Change) -> list[object]:
    """A row that came is a customer, who lives somewhere."""
    return [Registered(change.row["name"]), Moved(change.row["city"])]


@customers.on("u")
def move(change: Change) -> Moved | None:
    """Only a place is worth an event; nobody lives in Nowhere."""
    city = change.row["city"]
    if city == "Nowhere":
        raise ValueError("there is no such city")
    return Moved(city)


@customers.on("d")
def leave(change: Change) -> Left:
    """A row that went is a customer who left."""
    assert change.key
    return Left()


program = Translations(customers)
