"""The peer: PyPI's `eventsourcing`, its ProjectionRunner, the same fold into a table of the same PostgreSQL."""

import json
import sys
import time
from abc import ABC, abstractmethod
from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking, TrackingRecorder
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier


class Account(Aggregate):
    """An account that money is moved on."""

    @event("MoneyMoved")
    def move(self, cents: int) -> None:
        """Book an amount."""


class Bank(Application[Any]):
    """Records the bookings."""


class View(TrackingRecorder, ABC):
    """What the projection writes to."""

    @abstractmethod
    def add(self, account: str, cents: int, tracking: Tracking) -> None:
        """Add *cents* and note the position, in one transaction."""


class PostgresView(PostgresTrackingRecorder, View):
    """Balances in a table."""

    def __init__(self, datastore: Any, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self._table = Identifier(self.datastore.schema, "peer_balance")
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {} (account text PRIMARY KEY, cents bigint NOT NULL, bookings bigint NOT NULL)"
            ).format(self._table)
        )
        self._add = SQL(
            "INSERT INTO {0} AS held VALUES (%s, %s, 1) ON CONFLICT (account) DO UPDATE "
            "SET cents = held.cents + excluded.cents, bookings = held.bookings + 1"
        ).format(self._table)

    def add(self, account: str, cents: int, tracking: Tracking) -> None:
        """Add and track in one transaction."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._add, (account, cents), prepare=True)


class Balances(Projection[View]):
    """The same fold as ours."""

    name = "balances"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Add up; other events only move the tracking."""
        cents = getattr(domain_event, "cents", None)
        if cents is None:
            self.view.insert_tracking(tracking)
        else:
            self.view.add(str(domain_event.originator_id), cents, tracking)


def environment(dsn: str) -> dict[str, str]:
    """Give the peer's settings for our server."""
    parts = conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts.get("host") or "127.0.0.1"),
        "POSTGRES_PORT": str(parts.get("port") or 5432),
        "POSTGRES_USER": str(parts.get("user") or ""),
        "POSTGRES_PASSWORD": str(parts.get("password") or "none"),
    }


def main(dsn: str, count: int) -> None:
    """Record *count* bookings, then measure the runner from the first to the last."""
    env = environment(dsn)
    bank = Bank(env=env)
    accounts = [Account() for _ in range(max(1, count // 100))]
    for number in range(count):
        accounts[number % len(accounts)].move(cents=number % 97)
    last = max(each.notification.id for each in bank.save(*accounts))
    started = time.perf_counter()
    with ProjectionRunner(application_class=Bank, projection_class=Balances, view_class=PostgresView, env=env) as runner:
        runner.wait(last, timeout=600)
        seconds = time.perf_counter() - started
    print(json.dumps({"rate": last / seconds}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
