"""Who may do what: the matrix covers everything, the catalogue says the same, and each login can do its duty and nothing else."""

import runpy
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres import checkout
from eventstore.postgres.roles import read_duties
from tests.integration.security.conftest import DUTIES, Login

OURS = "('eventstore', 'projections', 'privacy')"
OBJECTS = f"""
SELECT 'table', c.oid::regclass::text FROM pg_class AS c WHERE c.relkind IN ('r', 'v', 'p') AND c.relnamespace::regnamespace::text IN {OURS}
UNION SELECT 'function', p.proname FROM pg_proc AS p WHERE p.pronamespace::regnamespace::text IN {OURS}
"""
FUNCTIONS = f"""
SELECT p.oid::regprocedure::text, p.prosecdef, p.proconfig, r.rolname FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner
WHERE p.pronamespace::regnamespace::text IN {OURS}
"""
PUBLIC = f"""
SELECT c.oid::regclass::text FROM pg_class AS c, aclexplode(c.relacl) AS a
    WHERE a.grantee = 0 AND c.relnamespace::regnamespace::text IN {OURS}
UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE a.grantee = 0 AND p.pronamespace::regnamespace::text IN {OURS}
UNION ALL SELECT n.nspname FROM pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE a.grantee = 0 AND n.nspname IN {OURS}
"""
APPEND = 'SELECT * FROM eventstore.append_v1(\'a\', -1, ARRAY[gen_random_uuid()], \'[{"t": "x", "v": 1, "d": {}}]\')'
READ_EVENTS = "SELECT count(*) FROM eventstore.event"
IMPORT = "SELECT eventstore.prepare_import_v1(); SELECT * FROM eventstore.import_v3()"
READ_MODEL = "SELECT count(*) FROM rm_bank_g1.balance"
MAKE_SCHEMA = "CREATE SCHEMA rm_other_g1"
MOVE = "UPDATE projections.generation SET detail = detail WHERE id = 1"
READ_POINTER = "SELECT count(*) FROM projections.pointer"
PARK = "SELECT count(*) FROM projections.parked"
READ_KEYS = "SELECT count(*) FROM privacy.subject_key"
MAY = {
    "writer": {APPEND, IMPORT, READ_EVENTS, READ_KEYS},
    "relay": {READ_EVENTS},
    "projector": {READ_MODEL, MAKE_SCHEMA, MOVE, READ_POINTER, PARK, READ_KEYS},
    "reader": {READ_MODEL, READ_POINTER},
    "": set[str](),
}
FOR_NONE = (
    "INSERT INTO eventstore.stream VALUES (1, '1', 'b')",
    "INSERT INTO eventstore.event (stream) VALUES ('a')",
    "UPDATE eventstore.event SET type = 'other'",
    "DELETE FROM eventstore.event",
    "TRUNCATE eventstore.event",
    "ALTER TABLE eventstore.event DISABLE TRIGGER ALL",
    "DROP TABLE eventstore.event",
    "UPDATE eventstore.chain SET hash = ''",
    "DELETE FROM projections.audit",
    "SELECT * FROM eventstore.import_v2()",
    "SELECT eventstore.start_chain_v1('', false)",
    "SELECT eventstore.settle_roles_v1()",
    "UPDATE eventstore.privilege SET privileges = 'ALL'",
    "UPDATE privacy.subject_key SET wrapped = NULL",
    "CREATE TABLE eventstore.mine (x int)",
    "SET session_replication_role = replica",
)
ALL = sorted(set().union(*MAY.values())) + list(FOR_NONE)


async def test_matrix_is_complete(engine: AsyncEngine) -> None:
    """Every table and function of ours is in the matrix, and the grants in the catalogue are exactly those of the matrix."""
    async with checkout(engine) as connection:
        objects = set(await (await connection.execute(OBJECTS)).fetchall())
        listed = set(await (await connection.execute("SELECT kind, object FROM eventstore.privilege")).fetchall())
        public = await (await connection.execute(PUBLIC)).fetchall()
    assert objects - listed == set(), "add rows to eventstore.privilege in the migration that makes these"
    assert {(kind, name) for kind, name in listed if kind in {"table", "function"}} - objects == set()
    assert public == []
    duties = await read_duties(engine)
    assert [each.duty for each in duties] == sorted(DUTIES)
    assert [str(each) for each in duties if not each.exists or each.missing or each.excess] == []


async def test_functions_are_closed(engine: AsyncEngine) -> None:
    """Every function belongs to the role of owners, and those that run with its rights fix their search path, pg_temp last."""
    async with checkout(engine) as connection:
        rows = await (await connection.execute(FUNCTIONS)).fetchall()
    assert {row[3] for row in rows} == {"refold_owner"}
    loose = [row[0] for row in rows if row[1] and "search_path=pg_catalog, pg_temp" not in (row[2] or [])]
    assert loose == []
    assert len([row for row in rows if row[1]]) >= 4


async def test_page_says_the_same(engine: AsyncEngine) -> None:
    """The reference of roles is what the matrix of a migrated database says."""
    docs = Path(__file__).parents[3] / "docs"
    page = runpy.run_path(str(docs / "roles.py"))
    async with checkout(engine) as connection:
        rows = await (await connection.execute(page["ROWS"])).fetchall()
    written = (docs / "reference" / "roles.md").read_text("utf-8")
    assert written == page["render"](rows), "run `python docs/roles.py` with REFOLD_POSTGRES_DSN naming a migrated database"


@pytest.mark.parametrize("duty", MAY)
async def test_duty(login: Login, settled_dsn: str, duty: str) -> None:
    """A login can do what its duty needs, and is refused whatever belongs to another duty, or to none."""
    async with await psycopg.AsyncConnection.connect(login("projector"), autocommit=True) as projector:
        await projector.execute("SET ROLE refold_projector")
        await projector.execute("CREATE SCHEMA rm_bank_g1")
        await projector.execute("CREATE TABLE rm_bank_g1.balance (x int)")
    async with await psycopg.AsyncConnection.connect(login(duty)) as connection:
        for statement in ALL:
            refused = None
            try:
                await connection.execute(statement)
            except psycopg.errors.InsufficientPrivilege as error:
                refused = error
            await connection.rollback()
            assert (refused is None) == (statement in MAY[duty]), statement


async def test_owner_can_change_no_event(login: Login) -> None:
    """Even a login with the owner's duty is refused by the triggers, on events, links, schemas, tags and the audit."""
    tables = ("eventstore.event", "eventstore.chain", "eventstore.schema", "eventstore.tag", "projections.audit")
    async with await psycopg.AsyncConnection.connect(login("owner"), autocommit=True) as connection:
        await connection.execute(APPEND)
        for table in tables:
            for change in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
                with pytest.raises(psycopg.DatabaseError, match="never changed"):
                    await connection.execute(change)


async def test_import_trusts_no_table(login: Login) -> None:
    """An importer can't smuggle in a table of their own, on which the owner's rights would run their code."""
    async with await psycopg.AsyncConnection.connect(login("writer"), autocommit=True) as connection:
        await connection.execute("CREATE TEMP VIEW incoming AS SELECT 1 AS n")
        with pytest.raises(psycopg.DatabaseError, match="of its own"):
            await connection.execute("SELECT * FROM eventstore.import_v3()")
    async with await psycopg.AsyncConnection.connect(login("writer"), autocommit=True) as connection:
        await connection.execute("SELECT eventstore.prepare_import_v1()")
        for attempt in (
            "CREATE INDEX ON pg_temp.incoming (n)",
            "CREATE RULE more AS ON DELETE TO pg_temp.incoming DO ALSO SELECT 1",
            "CREATE TRIGGER more BEFORE DELETE ON pg_temp.incoming FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "ALTER TABLE pg_temp.incoming ADD COLUMN more int",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(attempt)
