"""What holds ordered readers back, and how to end it.

Events are readable in order once no transaction that began before them still runs, in whatever database of the server. So the
holder is the running transaction with the oldest id: a session, or a prepared transaction that nobody finished. Snapshots
without an id, and replication slots, hold back vacuum but never a reader.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load

_HERE = "eventstore.postgres"
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Holder:
    """One running transaction that has an id: a session with its *pid*, or a prepared transaction with its *gid*."""

    pid: int | None
    user: str | None
    application: str | None
    database: str | None
    state: str | None
    open_s: float | None
    idle_s: float | None
    query: str | None
    gid: str | None

    @property
    def remedy(self) -> str:
        """The statement that ends it; what it wrote and did not commit is lost."""
        if self.pid is not None:
            return f"SELECT pg_terminate_backend({self.pid})"
        quoted = (self.gid or "").replace("'", "''")
        return f"ROLLBACK PREPARED '{quoted}'" + (f" (in database {self.database})" if self.database else "")

    def describe(self) -> str:
        """Say who it is in one clause."""
        who = f"pid {self.pid} of {self.application or 'an unnamed application'}"
        text = " ".join((self.query or "").split())[:120]
        said = f", last query: {text}" if text else ""
        return (
            f"{who if self.pid is not None else f'prepared transaction {self.gid}'}, user {self.user or 'hidden'}, database "
            f"{self.database}, {self.state or 'state hidden'}, open for {self.open_s or 0:.1f} s{said}"
        )


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where ordered readers must stop now (*xid*), the events *waiting* behind it, how long the first has, and who holds it."""

    xid: int
    waiting: int
    lag_s: float
    holders: tuple[Holder, ...]

    def describe(self) -> str:
        """Say it in a sentence, with what to do."""
        if not self.holders:
            return f"ordered readers are current (lag {self.lag_s:.1f} s): no other transaction is writing"
        first = self.holders[0]
        advice = "" if self.lag_s < 1 else f"; end it with {first.remedy}"
        return (
            f"ordered readers lag {self.lag_s:.1f} s behind, {self.waiting} events wait; the oldest writing transaction is "
            f"{first.describe()}{advice}"
        )

    def facts(self) -> dict[str, Any]:
        """Give the fields by name, for `--json`; `horizon_lag_seconds` is the name of the metric."""
        holders = [{**asdict(each), "remedy": each.remedy} for each in self.holders]
        return {
            "horizon_lag_seconds": self.lag_s,
            "lag_s": self.lag_s,
            "waiting": self.waiting,
            "xid": self.xid,
            "holders": holders,
        }


async def find_horizon(engine: AsyncEngine) -> Horizon:
    """Look at the server now. Seeing other roles' queries takes `pg_monitor`."""
    async with checkout(engine) as connection:
        found = await (await connection.execute(load(_HERE, "horizon"))).fetchone()
        rows = await (await connection.execute(load(_HERE, "holders"), (_SHOWN,))).fetchall()
    if found is None:
        raise AssertionError("horizon.sql always gives one row")
    return Horizon(*found, holders=tuple(Holder(*row) for row in rows))
