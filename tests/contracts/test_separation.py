"""Copies of a table with tenants: each tenant's readers see its rows and no others, in whatever sink, however they ask."""

import secrets
from dataclasses import replace

import psycopg
from psycopg import sql
from pydantic import SecretStr

from projections.copies.contract import Address
from projections.copies.reading import SearchRows, ValkeyRows
from projections.copies.valkey import Keys, name_scope
from projections.settings import SinkSettings
from tests.contracts.copies import BORN, TENANTS, Sinks, batch, some

ROWS = [replace(each, shop=shop, name=f"kettle of {shop}") for shop in ("acme", "zen") for each in some(3)]
HERE = Address("things", 1, BORN, "thing")


async def test_valkey_apart(valkey_url, topic_prefix):
    """Keys, counts and rankings are the tenant's own; what is deleted, and a drop, leave nothing of either."""
    settings = SinkSettings(valkey_url=valkey_url, valkey_prefix=topic_prefix)
    async with Sinks("valkey", settings, tenants=True).filled(*ROWS) as copy:
        acme, zen = (ValkeyRows(TENANTS["valkey"], HERE, settings, copy.client, each) for each in ("acme", "zen"))
        assert [(await each.get(1)).name for each in (acme, zen)] == ["kettle of acme", "kettle of zen"]
        assert {each.shop for each in await zen.ranked("number")} == {"zen"}
        await copy.apply(batch(gone=(("zen", 2), ("acme", 7))))
        assert [await each.count() for each in (acme, zen)] == [3, 2]
        assert await zen.get(2) is None
        keys = Keys(topic_prefix, HERE, name_scope("acme"))
        assert await copy.client.exists(keys.row('["acme","1"]'), keys.all, keys.ranking("number")) == 3
        await copy.drop()
        assert [each async for each in copy.client.scan_iter(match=f"{keys.root}*", count=1000)] == []


async def test_search_apart(search_dir):
    """A search finds the tenant's rows whatever its words say, and counts no others."""
    settings = SinkSettings(search_dir=search_dir)
    async with Sinks("search", settings, tenants=True).filled(*ROWS):
        zen = SearchRows(TENANTS["search"], HERE, settings, "zen")
        for words in ("", "kettle", "kettle OR acme", "shop:acme OR kettle", "row_tenant:acme OR zen"):
            found = await zen.find(words)
            assert ({each.shop for each in found.rows}, found.total) == ({"zen"}, 3), words
        assert (await zen.find("shop:acme")).total == 0


async def test_postgres_apart(postgres_dsn):
    """In another database a role sees the rows of the tenant that it is bound to, and none if it is bound to none."""
    settings = SinkSettings(postgres_dsn=SecretStr(postgres_dsn))
    role = f"refold_test_{secrets.token_hex(6)}"
    async with Sinks("postgres", settings, tenants=True).filled(*ROWS) as copy:
        assert await copy.point(10)
        async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as admin:
            await admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
            try:
                for each in ("USAGE ON SCHEMA things, copy_things_g1", "SELECT ON ALL TABLES IN SCHEMA things, copy_things_g1"):
                    await admin.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(each), sql.Identifier(role)))
                assert await see(admin, role, "things.thing") == []
                await admin.execute("INSERT INTO things.tenant_role VALUES (%s, 'zen')", (role,))
                assert await see(admin, role, "things.thing") == ["zen"] * 3
                assert await see(admin, role, "copy_things_g1.thing") == [], "the rows themselves are nobody's but the workers'"
                await admin.execute("UPDATE things.tenant_role SET tenant = '*'")
                assert len(await see(admin, role, "things.thing")) == 6
            finally:
                await admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
                await admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


async def see(connection, role, relation):
    async with connection.transaction():
        await connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        found = await connection.execute(sql.SQL("SELECT shop FROM {}").format(sql.SQL(relation)))
        return [shop for (shop,) in await found.fetchall()]
