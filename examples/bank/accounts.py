"""An account, as a decider. Its balance never goes below zero, whoever else draws from it at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from eventstore import event
from eventstore.decider import Decider
from eventstore.process import command


@event("bank-account-opened")
class Opened:
    """Somebody has an account now."""

    owner: str


@event("bank-deposited")
class Deposited:
    """Cash came in."""

    cents: int


@event("bank-transfer-sent")
class Sent:
    """Money left *sender* for the account *to*."""

    transfer: str
    sender: str
    to: str
    cents: int


@event("bank-transfer-received")
class Received:
    """Money of a transfer came in."""

    transfer: str
    cents: int


@event("bank-transfer-returned")
class Returned:
    """Money that could not be delivered came back."""

    transfer: str
    cents: int


@event("bank-transfer-rejected")
class Rejected:
    """Money arrived for an account that is not there."""

    transfer: str
    cents: int


@command("bank-open")
class Open:
    """Open an account."""

    owner: str


@command("bank-deposit")
class Deposit:
    """Pay in."""

    cents: int


@command("bank-send")
class Send:
    """Send money to another account."""

    transfer: str
    sender: str
    to: str
    cents: int


@command("bank-receive")
class Receive:
    """Take the money of a transfer."""

    transfer: str
    cents: int


@command("bank-return")
class Return:
    """Take back what could not be delivered."""

    transfer: str
    cents: int


AccountEvent = Opened | Deposited | Sent | Received | Returned | Rejected
AccountCommand = Open | Deposit | Send | Receive | Return


class Refused(Exception):
    """The account does not allow this."""


@dataclass(frozen=True)
class Account:
    """What must be known of an account to decide: the transfers that it saw, so that none counts twice."""

    owner: str = ""
    cents: int = 0
    seen: frozenset[str] = field(default=frozenset())


def evolve(account: Account, happened: AccountEvent) -> Account:
    """Give the account after what *happened*."""
    match happened:
        case Opened():
            return replace(account, owner=happened.owner)
        case Deposited():
            return replace(account, cents=account.cents + happened.cents)
        case Sent():
            return _book(account, -happened.cents, f"sent {happened.transfer}")
        case Received():
            return _book(account, happened.cents, f"arrived {happened.transfer}")
        case Returned():
            return _book(account, happened.cents, f"returned {happened.transfer}")
        case Rejected():
            return _book(account, 0, f"arrived {happened.transfer}")


def decide(wanted: AccountCommand, account: Account) -> Sequence[AccountEvent]:
    """Say what follows from what is *wanted*; wanting what is so already changes nothing."""
    if _is_done(wanted, account):
        return []
    match wanted:
        case Open():
            return [Opened(wanted.owner)]
        case Deposit():
            _require(account.owner and wanted.cents > 0, f"{wanted} needs an open account and an amount")
            return [Deposited(wanted.cents)]
        case Send():
            _require(0 < wanted.cents <= account.cents, f"{wanted.cents} cents can't be sent: {account.cents} are there")
            return [Sent(wanted.transfer, wanted.sender, wanted.to, wanted.cents)]
        case Receive():
            return [(Received if account.owner else Rejected)(wanted.transfer, wanted.cents)]
        case Return():
            return [Returned(wanted.transfer, wanted.cents)]


def _is_done(wanted: AccountCommand, account: Account) -> bool:
    match wanted:
        case Open():
            return account.owner != ""
        case Deposit():
            return False
        case Send():
            return f"sent {wanted.transfer}" in account.seen
        case Receive():
            return f"arrived {wanted.transfer}" in account.seen
        case Return():
            return f"returned {wanted.transfer}" in account.seen


def _book(account: Account, cents: int, note: str) -> Account:
    return replace(account, cents=account.cents + cents, seen=account.seen | {note})


def _require(allowed: object, otherwise: str) -> None:
    if not allowed:
        raise Refused(otherwise)


accounts = Decider(Account, evolve, decide)
