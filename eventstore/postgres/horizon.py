"""What holds ordered readers back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load


@dataclass(frozen=True, slots=True)
class Horizon:
    """How long the first unreadable event has waited, and the oldest writing transaction of the server, if any.

    Events are readable in order once no transaction that began before them still runs, in whatever database of the server.
    """

    lag_s: float
    pid: int | None
    application: str | None
    state: str | None
    open_s: float | None
    query: str | None

    def describe(self) -> str:
        """Say it in a sentence, with what to do."""
        if self.open_s is None:
            return f"ordered readers are current (lag {self.lag_s:.1f} s): no other transaction is writing"
        who = f"pid {self.pid} of {self.application or 'an unnamed application'}" if self.pid else self.application
        advice = "" if self.lag_s < 1 else f"; end it with SELECT pg_terminate_backend({self.pid})" if self.pid else "; finish it"
        return (
            f"ordered readers lag {self.lag_s:.1f} s behind; the oldest writing transaction is {who}, {self.state}, open for "
            f"{self.open_s:.1f} s, last query: {' '.join((self.query or '').split())[:120]}{advice}"
        )

    def facts(self) -> dict[str, Any]:
        """Give the fields by name, for `--json`."""
        return asdict(self)


async def find_horizon(engine: AsyncEngine) -> Horizon:
    """Look at the server now. Seeing other roles' queries takes `pg_monitor`."""
    async with checkout(engine) as connection:
        row = await (await connection.execute(load("eventstore.postgres", "horizon"))).fetchone()
    if row is None:
        raise AssertionError("horizon.sql always gives one row")
    return Horizon(*row)
