"""What the bank's tables must hold, folded from the events without any of the code under test."""

from collections.abc import Callable, Iterable
from typing import Any

from tests.bank.log import Recorded

Rows = dict[str, dict[str, Any]]


def expect(events: Iterable[Recorded], worth: Callable[[int], int] = int) -> Rows:
    """Fold *events*; *worth* is what a move adds to a balance (release 1: its amount; release 2: `abs`).

    A poisonous event and the later ones of its stream have no effect.
    """
    balance: dict[str, Any] = {}
    kinds: dict[str, Any] = {}
    trail: dict[str, Any] = {}
    parked: set[str] = set()
    for each in events:
        data, account = each.data, each.stream
        if each.type == "account-noted":
            continue
        if data.get("kind") == "poison":
            parked.add(account)
        if account in parked:
            continue
        trail.setdefault(account, {"stream": account, "versions": []})["versions"].append(each.version)
        if each.type == "account-closed":
            balance.pop(account, None)
            continue
        amount = data["amount"]
        row = balance.setdefault(account, {"account": account, "cents": 0, "moves": 0})
        row["cents"] += worth(amount)
        row["moves"] += 1
        kind = kinds.setdefault(
            data["kind"], {"kind": data["kind"], "moves": 0, "total": 0, "smallest": amount, "largest": amount}
        )
        kind["moves"] += 1
        kind["total"] += amount
        kind["smallest"], kind["largest"] = min(kind["smallest"], amount), max(kind["largest"], amount)
    return {"balance": balance, "kind_total": kinds, "trail": trail}
