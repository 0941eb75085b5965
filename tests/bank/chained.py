"""Projections that feed each other: balances say when an account is overdrawn, alarms count that by kind, ranks count alarms."""

from dataclasses import dataclass

from eventstore.envelope import Envelope
from eventstore.event import event
from projections import Projection, Projections
from tests.bank.events import MoneyMoved


@event("account-overdrawn", version=1)
class AccountOverdrawn:
    account: str
    cents: int


@event("account-covered", version=1)
class AccountCovered:
    account: str


@event("alarm-raised", version=1)
class AlarmRaised:
    times: int


@dataclass(slots=True)
class Balance:
    account: str
    cents: int = 0
    moves: int = 0


@dataclass(slots=True)
class Alarm:
    account: str
    times: int = 0
    deepest: int = 0
    ringing: bool = False
    ids: str = ""
    """Every derived event's id, in order: what is lost, repeated or misplaced shows."""


@dataclass(slots=True)
class Rank:
    times: int
    alarms: int = 0


accounts = Projection("accounts")
balance = accounts.table(Balance, key="account")


@balance.on(MoneyMoved)
def moved(event: MoneyMoved, row: Balance | None) -> Balance:
    if event.kind == "poison":
        raise ValueError("this move is poison")
    row = row or Balance(event.account)
    row.cents += event.amount
    row.moves += 1
    return row


@balance.emits(AccountOverdrawn, AccountCovered)
def crossed(before: Balance | None, after: Balance) -> list[object]:
    was, now = (before.cents if before else 0), after.cents
    found: list[object] = []
    if now < 0:
        found.append(AccountOverdrawn(after.account, now))
    if was < 0 <= now:
        found += [AccountCovered(after.account), AccountCovered(after.account)]
    return found


alarms = Projection("alarms")
alarm = alarms.table(Alarm, key="account")


@alarm.on(AccountOverdrawn, AccountCovered, of=accounts)
def rang(event: AccountOverdrawn | AccountCovered, row: Alarm | None, envelope: Envelope[object]) -> Alarm:
    row = row or Alarm(envelope.stream)
    row.ids += f"{str(envelope.id)[:8]} "
    row.ringing = isinstance(event, AccountOverdrawn)
    if isinstance(event, AccountOverdrawn):
        row.times += 1
        row.deepest = min(row.deepest, event.cents)
    return row


@alarm.emits(AlarmRaised)
def raised(before: Alarm | None, after: Alarm) -> AlarmRaised | None:
    return AlarmRaised(after.times) if after.times != (before.times if before else 0) else None


ranks = Projection("ranks")
rank = ranks.table(Rank, key="times")


@rank.on(AlarmRaised, of=alarms, key=lambda event: event.times)
def ranked(event: AlarmRaised, row: Rank | None) -> Rank:
    row = row or Rank(event.times)
    row.alarms += 1
    return row


app = Projections(ranks, alarms, accounts)
