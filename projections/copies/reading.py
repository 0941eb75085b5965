"""Reading copies: by key and rank in Valkey, by words and values in a search index. One generation, whole, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eventstore.errors import UsageError
from projections.copies.contract import Address, NotFilled
from projections.copies.document import CHECKPOINT, STATE, TENANT, Documents, read_state, read_texts
from projections.copies.form import Form
from projections.copies.search import find_directory
from projections.copies.valkey import Keys, name_scope, translated
from projections.declaration.sink import Search, Sink, Valkey
from projections.settings import SinkSettings

R = TypeVar("R")


class ValkeyRows(Generic[R]):
    """The rows of one generation in Valkey."""

    def __init__(
        self, sink: Sink[R, Valkey], address: Address, settings: SinkSettings, client: Any, tenant: str | None = None
    ) -> None:
        """Take the *tenant* whose rows alone are read, for a table with tenants; keys are then given without it."""
        self._address = address
        self._tenant = tenant
        self._keys = Keys(settings.valkey_prefix, address, "" if tenant is None else name_scope(tenant))
        self._form = Form(sink.table)
        self._ranked = sink.place.ranked
        self._client = client

    async def get(self, key: Any) -> R | None:
        """Give the row under *key*: a value, or a tuple in the order of the table's key."""
        return (await self.many([key]))[0]

    async def many(self, keys: Sequence[Any]) -> list[R | None]:
        """Give the rows under *keys*, in their order, with one request."""
        pipe = self._client.pipeline(transaction=False)
        for each in keys:
            pipe.hgetall(self._keys.row(self._form.key(self._complete(each))))
        *found, _ = await self._ask(pipe)
        return [self._form.row(texts) if texts else None for texts in found]

    def _complete(self, key: Any) -> Any:
        if self._tenant is None:
            return key
        return (self._tenant, *key) if isinstance(key, tuple) else (self._tenant, key)

    async def ranked(self, column: str, limit: int = 10, *, start: int = 0, rising: bool = False) -> list[R]:
        """Give rows in the order of *column*, the largest first or, *rising*, the smallest."""
        if column not in self._ranked:
            raise UsageError(f"{self._address} has no ranking by {column!r}: declare Valkey(ranked=[{column!r}])")
        async with translated():
            keys = await self._client.zrange(self._keys.ranking(column), start, start + limit - 1, desc=not rising)
        pipe = self._client.pipeline(transaction=False)
        for each in keys:
            pipe.hgetall(self._keys.row(each))
        *found, _ = await self._ask(pipe)
        return [self._form.row(texts) for texts in found if texts]

    async def count(self) -> int:
        """Give the number of rows."""
        pipe = self._client.pipeline(transaction=False)
        pipe.scard(self._keys.all)
        return (await self._ask(pipe))[0]

    async def _ask(self, pipe: Any) -> list[Any]:
        """Ask what *pipe* asks, and with the same request whether the copy is whole."""
        pipe.hmget(self._keys.meta, ["mark", "state"])
        async with translated():
            found: list[Any] = await pipe.execute()
        _require_filled(self._address, found[-1] == [self._address.mark, "filled"])
        return found


@dataclass(frozen=True, slots=True)
class Found(Generic[R]):
    """What a search found: how many rows in all, and those that were asked for."""

    total: int
    rows: list[R]


class SearchRows(Generic[R]):
    """The rows of one generation in a search index."""

    def __init__(self, sink: Sink[R, Search], address: Address, settings: SinkSettings, tenant: str | None = None) -> None:
        """Take the *tenant* whose rows alone are found, for a table with tenants."""
        self._address = address
        self._tenant = tenant
        self._directory = find_directory(settings, address)
        self._documents = Documents(sink)
        self._form = Form(sink.table)
        self._index: Any = None

    async def find(
        self, query: str, *, limit: int = 10, start: int = 0, order: str | None = None, rising: bool = False
    ) -> Found[R]:
        """Give the rows that fit *query* best, or in the order of the exact column *order*, the largest first or, *rising*, the smallest.

        Words are looked for in all text columns, each of them must be there; `status:paid`, `cents:[100 TO 500]`, `"two words"`, `AND`,
        `OR`, `NOT` and brackets mean what they say; what can't be understood is passed over. An empty query finds every row.
        """
        if order is not None and order not in self._documents.exact:
            raise UsageError(f"{self._address} has no order by {order!r}: declare Search(exact=[{order!r}])")
        return await asyncio.to_thread(self._find, query, limit, start, order, rising)

    def _find(self, text: str, limit: int, start: int, order: str | None, rising: bool) -> Found[R]:
        index = self._open()
        searcher, orders = index.searcher(), self._documents.library.Order
        query, direction = self._compose(index, text), orders.Asc if rising else orders.Desc
        found = searcher.search(query, max(1, limit), order_by_field=order, offset=start, order=direction)
        documents = [searcher.doc(address) for _, address in found.hits[:limit]]
        return Found(found.count, [self._form.row(read_texts(each)) for each in documents])

    def _compose(self, index: Any, text: str) -> Any:
        """Compose the query; the document that holds the checkpoint is no row."""
        query, occur = self._documents.library.Query, self._documents.library.Occur
        asked: Any = query.all_query()
        if text.strip():
            columns = list(self._documents.text or self._documents.exact)
            asked, _ = index.parse_query_lenient(text, columns, conjunction_by_default=True)
        checkpoint = query.term_query(index.schema, STATE, CHECKPOINT, "basic")
        parts = [(occur.Must, asked), (occur.MustNot, checkpoint)]
        if self._tenant is not None:
            parts.append((occur.Must, query.term_query(index.schema, TENANT, self._tenant, "basic")))
        return query.boolean_query(parts)

    def _open(self) -> Any:
        """Open the index, or take up what was committed since."""
        if self._index is None:
            self._index = self._documents.look(self._directory)
        else:
            self._index.reload()
        state = read_state(self._index) if self._index else None
        _require_filled(self._address, state is not None and state["filled"] and state["mark"] == self._address.mark)
        return self._index


def _require_filled(address: Address, filled: Any) -> None:
    if not filled:
        raise NotFilled(
            f"the copy of {address} is not filled (yet, or not any more): a worker of this release fills it, see `projections status`"
        )
