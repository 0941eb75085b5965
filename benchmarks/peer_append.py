"""The peer's appends: PyPI's `eventsourcing` saving aggregates, an event or several at a time, on the same PostgreSQL."""

import itertools
import json
import sys
import time

from benchmarks.peers.sourcing import Account, Bank, environment


def measure(bank: Bank, batch: int, seconds: float) -> float:
    """Give the events a second of one caller that saves *batch* events of one aggregate at a time."""
    account, count, began = Account(), 0, time.perf_counter()
    bank.save(account)
    for number in itertools.count(1):
        if (elapsed := time.perf_counter() - began) > seconds:
            return count / elapsed
        for each in range(batch):
            account.move(cents=each)
        bank.save(account)
        count += batch
        if number % 10 == 0:
            account = Account()
    raise AssertionError("itertools.count ends never")


def main(dsn: str, seconds: float) -> None:
    """Print the rates for one, ten and a hundred events at a time."""
    bank = Bank(env=environment(dsn))
    print(json.dumps({str(batch): measure(bank, batch, seconds) for batch in (1, 10, 100)}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
