"""A copy in Valkey or Redis: a hash per row, a set of all keys, a sorted set per ranked column, and a hash that holds the checkpoint.

    refold:{orders.g4}:order:row:<key>       the row, a field per column; columns that are None have none
    refold:{orders.g4}:order:keys            all keys
    refold:{orders.g4}:order:by:<column>     keys by that column's number
    refold:{orders.g4}:order:rankings        those columns
    refold:{orders.g4}:order:meta            whose it is, epochs, offsets
    refold:orders:order:live                 the pointer, for readers without the catalogue

The keys of a table with tenants have the tenant in their names, so that an ACL of the server can hold a login to one tenant
(`~refold:{orders.g4}:order:@acme:*`):

    refold:{orders.g4}:order:@acme:row:<key>, …:@acme:keys, …:@acme:by:<column>

The braces keep a generation on one node of a cluster, where a Lua script may change all of it in one step.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote
from uuid import uuid4

from eventstore.codec import decode, encode
from eventstore.errors import Fenced, PreconditionFailed, Unreachable
from projections.control.checkpoint import Partition, Vector
from projections.copies.contract import MOST_ROWS, Address, Changes, CopyLost, Standing
from projections.copies.form import Form
from projections.declaration.sink import Sink, Valkey
from projections.settings import SinkSettings

T = TypeVar("T")
_SCRIPTS: Final = {
    each: (Path(__file__).with_name("lua") / f"{each}.lua").read_text("utf-8") for each in ("claim", "change", "fill", "point")
}
SOON = 1_000
"""Rows that are read or dropped with one request."""


def open_client(settings: SinkSettings) -> Any:
    """Make a client; nothing is connected before its first use. Raises PreconditionFailed without the library or an address."""
    try:
        from valkey.asyncio import Valkey as Client
    except ModuleNotFoundError as error:
        raise PreconditionFailed("a sink in Valkey needs its client library: pip install 'refold[valkey]'") from error
    if settings.valkey_url is None:
        raise PreconditionFailed("a sink in Valkey needs its address: set REFOLD_SINKS_VALKEY_URL, such as valkey://host:6379/0")
    client: Any = Client
    url, limit = settings.valkey_url.get_secret_value(), settings.timeout_s
    return client.from_url(url, decode_responses=True, socket_timeout=limit, socket_connect_timeout=limit)


@asynccontextmanager
async def translated() -> AsyncGenerator[None]:
    """Raise Unreachable for what the client raises when the server is away, or full, or read-only."""
    from valkey.exceptions import ValkeyError

    try:
        yield
    except (ValkeyError, OSError) as error:
        raise Unreachable(f"Valkey can't be used ({type(error).__name__}: {error}); see REFOLD_SINKS_VALKEY_URL") from error


class Keys:
    """The names of a copy's keys."""

    def __init__(self, prefix: str, address: Address, scope: str = "") -> None:
        """Take what the names of one tenant's rows begin with as *scope* (`name_scope`)."""
        self.root = f"{prefix}:{{{address.projection}.g{address.number}}}:{address.table}"
        self._here = f"{self.root}:{scope}"
        self.meta = f"{self.root}:meta"
        self.all = f"{self._here}keys"
        self.rankings = f"{self.root}:rankings"
        self.pointer = f"{prefix}:{address.projection}:{address.table}:live"

    def row(self, key: str) -> str:
        """Name the hash of the row under *key*."""
        return f"{self._here}row:{key}"

    def ranking(self, column: str) -> str:
        """Name the sorted set of *column*."""
        return f"{self._here}by:{column}"


def name_scope(tenant: str) -> str:
    """Give what the names of *tenant*'s rows, keys and rankings begin with."""
    return f"@{quote(tenant, safe='')}:"


class ValkeyCopy:
    """One copy. *sink* None = only `stand`, `count`, `drop` and `pointed` are asked for."""

    def __init__(self, address: Address, sink: Sink[Any, Valkey] | None, settings: SinkSettings) -> None:
        self.address = address
        self.keys = Keys(settings.valkey_prefix, address)
        self.client = open_client(settings)
        self._form: Form[Any] | None = Form(sink.table) if sink else None
        self._ranked = tuple(sink.place.ranked) if sink else ()
        self._has_tenants = bool(sink and sink.table.tenant)

    async def close(self) -> None:
        """Close the connections."""
        async with translated():
            await self.client.aclose()

    async def claim(self, epochs: dict[Partition, int]) -> Standing:
        """Fence earlier owners; what an earlier database's generation of this number left is deleted.

        Raises Unreachable for a server that throws rows away when it is full.
        """
        await self._require_keeper()
        pairs = [text for partition, epoch in sorted(epochs.items()) for text in (_name(partition), str(epoch))]
        found = await self._run("claim", [self.keys.meta], [self.address.mark, *pairs])
        if found[0] == "STALE":
            await self.drop()
            found = await self._run("claim", [self.keys.meta], [self.address.mark, *pairs])
        if found[0] != "DONE":
            raise Fenced(f"the copy of {self.address} in Valkey has a newer owner; this worker joins again")
        return _read_standing(dict(zip(found[1::2], found[2::2], strict=True)))

    async def apply(self, changes: Changes) -> None:
        """Write a batch in one step, or one of many rows in several."""
        fences = [(_name(each.partition), *map(str, each[1:])) for each in changes.fences]
        rows, gone = list(changes.rows), [self._locate(self._require_form().key(each)) for each in changes.gone]
        for start in range(0, max(1, len(rows)), MOST_ROWS):
            part, last = rows[start : start + MOST_ROWS], start + MOST_ROWS >= len(rows)
            asked = {"fences": fences, "owned": changes.owned, "last": last, "gone": gone if last else []}
            await self._change(asked, part)

    async def begin(self) -> str:
        """Give a ticket, and delete the rows."""
        ticket = uuid4().hex
        await self._fill([ticket, "begin"])
        await self._clear()
        return ticket

    async def put(self, ticket: str, rows: Sequence[Any]) -> None:
        """Add rows, a few thousand at a time."""
        for part in _cut(rows, MOST_ROWS):
            await self._change({"ticket": ticket, "gone": [], "last": False}, part)

    async def finish(self, ticket: str, vector: Vector) -> None:
        """Declare the copy filled."""
        pairs = [text for partition, offset in sorted(vector.items()) for text in (_name(partition), str(offset))]
        await self._fill([ticket, "end", *pairs])

    async def stand(self) -> Standing | None:
        """Read the checkpoint."""
        async with translated():
            found: dict[str, str] = await self.client.hgetall(self.keys.meta)
        return _read_standing(found) if found.get("mark") == self.address.mark else None

    async def count(self) -> int:
        """Count the keys."""
        async with translated():
            return await self.client.scard(self.keys.all)

    async def rows(self) -> AsyncIterator[Any]:
        """Read every row, a thousand with a request."""
        form = self._require_form()
        async with translated():
            keys: list[str] = sorted(await self.client.smembers(self.keys.all))
            for part in _cut(keys, SOON):
                for texts in await self.read(part):
                    if texts:
                        yield form.row(texts)

    async def read(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """Read the hashes of *keys*, in their order, with one request."""
        pipe = self.client.pipeline(transaction=False)
        for each in keys:
            pipe.hgetall(self._name_row(each, tenants=self._has_tenants))
        return await pipe.execute()

    async def point(self, turn: int) -> bool:
        """Let the pointer name this copy."""
        return bool(await self._run("point", [self.keys.pointer], [str(turn), str(self.address.number), self.keys.root]))

    async def pointed(self) -> int | None:
        """Read the pointer."""
        async with translated():
            found = await self.client.hget(self.keys.pointer, "generation")
        return int(found) if found else None

    async def drop(self) -> None:
        """Delete the rows, then the rest, so that a drop that was interrupted is found and repeated."""
        await self._clear()
        async with translated():
            await self.client.unlink(self.keys.meta)

    async def _clear(self) -> None:
        async with translated():
            tenants = bool(await self.client.hget(self.keys.meta, "tenants"))
            while keys := await self.client.srandmember(self.keys.all, SOON):
                await self.client.unlink(*(self._name_row(each, tenants=tenants) for each in keys))
                await self.client.srem(self.keys.all, *keys)
            ranked = await self.client.smembers(self.keys.rankings)
            named = [f"{self.keys.root}:{each}" if tenants else self.keys.ranking(each) for each in ranked]
            await self.client.unlink(self.keys.rankings, *named)

    def _locate(self, key: str) -> tuple[str, str]:
        """Give a row's key and its scope: that of its tenant, which is the first part of the key, or none."""
        return key, name_scope(decode(key)[0]) if self._has_tenants else ""

    def _name_row(self, key: str, *, tenants: bool) -> str:
        return f"{self.keys.root}:{name_scope(decode(key)[0])}row:{key}" if tenants else self.keys.row(key)

    async def _require_keeper(self) -> None:
        """Refuse a server that evicts keys which never expire: single rows would be missing, and nothing would tell."""
        from valkey.exceptions import NoPermissionError

        async with translated():
            try:
                found = await self.client.info("memory")
            except NoPermissionError:
                return
        if found.get("maxmemory") and str(found.get("maxmemory_policy")).startswith("allkeys"):
            raise Unreachable(
                f"Valkey throws away rows of {self.address} when it is full (maxmemory-policy {found['maxmemory_policy']}): set "
                "maxmemory-policy noeviction, or give the copies a server of their own (REFOLD_SINKS_VALKEY_URL)"
            )

    async def _change(self, asked: dict[str, Any], rows: Sequence[Any]) -> None:
        batch = {
            "fences": [],
            "owned": False,
            "tenants": self._has_tenants,
            **asked,
            "ranked": self._ranked,
            "rows": [*map(self._lay_out, rows)],
        }
        said = await self._run("change", [self.keys.meta, self.keys.all], [self.keys.root, encode(batch).decode()])
        if said == "FENCED":
            raise Fenced(f"the copy of {self.address} in Valkey has a newer owner; nothing of this batch was written to it")
        if said == "LOST":
            raise CopyLost(f"the copy of {self.address} in Valkey lost rows (flushed, evicted, restored?); it is filled anew")

    def _lay_out(self, row: Any) -> tuple[str, list[str], list[str], str]:
        form = self._require_form()
        texts = form.texts(row)
        scores = [_write_score(texts.get(each)) for each in self._ranked]
        key, scope = self._locate(form.key(form.table.key_of(row)))
        return key, [text for pair in texts.items() for text in pair], scores, scope

    async def _fill(self, asked: list[str]) -> None:
        if await self._run("fill", [self.keys.meta], asked) == "FENCED":
            raise Fenced(f"the copy of {self.address} in Valkey is filled by someone else by now")

    async def _run(self, script: str, keys: list[str], values: list[str]) -> Any:
        async with translated():
            return await self.client.eval(_SCRIPTS[script], len(keys), *keys, *values)

    def _require_form(self) -> Form[Any]:
        assert self._form is not None, "opened without its declaration"
        return self._form


def _name(partition: Partition) -> str:
    return f"{partition[0]} {partition[1]}"


def _read_standing(found: dict[str, str]) -> Standing:
    offsets = {name.removeprefix("offset "): int(text) for name, text in found.items() if name.startswith("offset ")}
    parts = {name: name.rpartition(" ") for name in offsets}
    vector = {(topic, int(number)): offsets[name] for name, (topic, _, number) in parts.items()}
    return Standing(found.get("state") == "filled", vector)


def _write_score(text: str | None) -> str:
    return "" if text is None or text == "nan" else text


def _cut(rows: Sequence[T], size: int) -> Iterator[list[T]]:
    iterator = iter(rows)
    while part := list(islice(iterator, size)):
        yield part
