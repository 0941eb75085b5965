"""The bank with effects: letters, whose sending is a line in the file that the environment names."""

import os
from dataclasses import dataclass
from typing import Any

from projections import Attempt, Projection, Projections
from tests.bank.events import MoneyMoved

LETTERS, REFUSED = "BANK_LETTERS", "BANK_LETTERS_REFUSED"


@dataclass(slots=True)
class Balance:
    account: str
    cents: int = 0


def declare(version: int, begin: Any = "now") -> Projection:
    bank = Projection("bank", version=version)
    balance = bank.table(Balance, key="account")

    @balance.on(MoneyMoved)
    def moved(event: MoneyMoved, row: Balance | None) -> Balance:
        if event.kind == os.environ.get(REFUSED):
            raise ValueError("no such move today")
        return Balance(event.account, (row.cents if row else 0) + event.amount)

    @bank.effect(MoneyMoved, begin=begin)
    async def letter(event: MoneyMoved, attempt: Attempt) -> dict[str, Any]:
        """A letter of kind `lost` can't be sent while the environment says so."""
        if event.kind == "lost" and os.environ.get(REFUSED) == "letters":
            raise ConnectionError("the post office is closed")
        envelope = attempt.envelope
        line = f"{version} {envelope.stream} {envelope.version} {attempt.key} {attempt.number}\n"
        file = os.open(os.environ[LETTERS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)
        return {"letter": attempt.key}

    return bank


app = Projections(declare(7))
