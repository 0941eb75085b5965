"""Who may do what in this database: the roles of the five duties, settled by the matrix in eventstore.privilege.

Migrating makes the roles and the grants where its user may; where not, an administrator runs what `script` gives, and `settle`
does the rest. Source: docs/reference/roles.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import PreconditionFailed
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load

_HERE = "eventstore.postgres"
_FOLLOW = {
    "writer": "the web app and whatever else appends: `eventstore append`, `eventstore import`",
    "relay": "`eventstore relay`; give it REPLICATION only for Debezium on the events table",
    "projector": "`projections run` and `replay`",
    "reader": "whatever shows read models",
}


@dataclass(frozen=True, slots=True)
class Duty:
    """One duty: its *role*, whether that exists, which logins are members of it, and how many objects lack or exceed its grants."""

    duty: str
    role: str
    exists: bool
    members: list[str]
    missing: list[str]
    excess: list[str]

    def facts(self) -> dict[str, Any]:
        """Give the fields by name, for `--json`."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.exists:
            return f"{self.duty}: role {self.role} is missing"
        faults = [f"may not {each}" for each in self.missing] + [f"may {each}, which it should not" for each in self.excess]
        return f"{self.duty}: {self.role}, logins {', '.join(self.members) or 'none'}" + "".join(f"; {each}" for each in faults)


async def read_duties(engine: AsyncEngine) -> list[Duty]:
    """Compare the roles and grants of this database with the matrix."""
    async with checkout(engine) as connection:
        rows = await (await connection.execute(load(_HERE, "duties"))).fetchall()
    return [Duty(*row) for row in rows]


async def settle_roles(engine: AsyncEngine) -> list[Duty]:
    """Make the roles that are missing, and owners and grants what the matrix says; safe to repeat. Takes the owner's login.

    Raises PreconditionFailed, with what an administrator has to run, when the roles are missing and may not be made here.
    """
    async with checkout(engine) as connection, connection.transaction():
        row = await (await connection.execute(load(_HERE, "settle_roles"))).fetchone()
        if not (row and row[0]):
            raise PreconditionFailed(
                "the roles are missing and this login may not create any: let an administrator run what `eventstore roles --sql` "
                "prints, then run this again"
            )
    return await read_duties(engine)


async def script(engine: AsyncEngine) -> str:
    """Give the SQL that makes the roles and lends this login what it needs to settle the grants, for an administrator to run."""
    async with checkout(engine) as connection:
        names = dict(await (await connection.execute(load(_HERE, "duty_names"))).fetchall())
        return compose_script(connection, names)


def compose_script(connection: Connection, names: dict[str, str]) -> str:
    """Compose that script for the user and database of *connection*; commented lines are examples. Pure."""
    user, database = sql.Identifier(connection.info.user), sql.Identifier(connection.info.dbname)
    pieces: list[sql.Composable] = [
        sql.SQL("-- Run once by an administrator, then `eventstore roles --apply` by the login that migrates.")
    ]
    for duty, role in sorted(names.items()):
        make = "DO $$ BEGIN CREATE ROLE {0} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; -- {1}"
        pieces.append(sql.SQL(make).format(sql.Identifier(role), sql.SQL(duty)))  # pyright: ignore[reportArgumentType]
    owner, projector = sql.Identifier(names["owner"]), sql.Identifier(names["projector"])
    pieces.append(sql.SQL("GRANT {}, {} TO {};").format(owner, projector, user))
    pieces.append(sql.SQL("GRANT CREATE ON DATABASE {} TO {} WITH GRANT OPTION;").format(database, user))
    pieces.append(sql.SQL("-- A login for each process. Settings belong to a login, for members do not inherit those of a role."))
    for duty, processes in _FOLLOW.items():
        login = sql.Identifier(f"app_{duty}")
        line = "-- CREATE ROLE {0} LOGIN PASSWORD '...' IN ROLE {1}; -- {2}"
        pieces.append(sql.SQL(line).format(login, sql.Identifier(names[duty]), sql.SQL(processes)))  # pyright: ignore[reportArgumentType]
    pieces.append(sql.SQL("-- ALTER ROLE app_reader SET default_transaction_read_only = on;"))
    return sql.SQL("\n").join(pieces).as_string(connection) + "\n"
