"""A copy in a search index of tantivy: a directory per table and generation, a document per row, one more for the checkpoint.

    <directory>/orders/order/g4/      the index
    <directory>/orders/order/live     link to the one that readers without the catalogue use

A commit of the index is all or nothing, and the checkpoint is part of it. One process writes at a time: it takes the index's file lock
for a batch, which the system gives back when the process ends, however it ends. Any number of processes search meanwhile, each in the
last commit. So the directory must be one for all of them: on one machine, or on a volume whose locks work for all of its machines.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

from eventstore.errors import Fenced, Unreachable
from projections.control.checkpoint import Partition, Vector
from projections.copies.contract import Address, Changes, CopyLost, Standing
from projections.copies.document import CHECKPOINT, KEY, STATE, Documents, count_rows, read_state, read_texts
from projections.copies.form import Form, Texts
from projections.declaration.sink import Search, Sink
from projections.settings import SinkSettings

T = TypeVar("T")
HEAP: Final = 32 << 20
"""Bytes of memory for documents that are not committed; what needs more goes to disk early."""
PAUSE_S = 0.01


def find_directory(settings: SinkSettings, address: Address) -> Path:
    """Give the directory of the copy at *address*. Pure."""
    return settings.search_dir / address.projection / address.table / f"g{address.number}"


class SearchCopy:
    """One copy. *sink* None = only `stand`, `count`, `drop` and `pointed` are asked for. What takes long runs in a thread."""

    def __init__(self, address: Address, sink: Sink[Any, Search] | None, settings: SinkSettings) -> None:
        self.address = address
        self.directory = find_directory(settings, address)
        self.limit_s = settings.timeout_s
        self._documents = Documents(sink)
        self._form: Form[Any] | None = Form(sink.table) if sink else None
        self._pointer = self.directory.with_name("live")

    async def close(self) -> None:
        """Do nothing: no file stays open between two calls."""

    async def claim(self, epochs: dict[Partition, int]) -> Standing:
        """Fence earlier owners; what an earlier database's generation of this number left is deleted."""
        return await asyncio.to_thread(self._claim, epochs)

    async def apply(self, changes: Changes) -> None:
        """Commit a batch and its checkpoint."""
        await asyncio.to_thread(self._apply, changes)

    async def begin(self) -> str:
        """Give a ticket, and delete the rows."""
        return await asyncio.to_thread(self._begin)

    async def put(self, ticket: str, rows: Sequence[Any]) -> None:
        """Commit rows."""
        await asyncio.to_thread(self._put, ticket, rows)

    async def finish(self, ticket: str, vector: Vector) -> None:
        """Declare the copy filled."""
        await asyncio.to_thread(self._finish, ticket, vector)

    async def stand(self) -> Standing | None:
        """Read the checkpoint."""
        state = await asyncio.to_thread(self._look, read_state)
        return None if state is None or state["mark"] != self.address.mark else _read_standing(state)

    async def count(self) -> int:
        """Count the documents that are rows."""
        return await asyncio.to_thread(self._look, count_rows) or 0

    async def rows(self) -> AsyncIterator[Any]:
        """Read every row of the last commit."""
        assert self._form is not None, "opened without its declaration"
        for texts in await asyncio.to_thread(self._look, self._read_all) or ():
            yield self._form.row(texts)

    async def point(self, turn: int) -> bool:
        """Let the link name this copy."""
        return await asyncio.to_thread(self._point, turn)

    async def pointed(self) -> int | None:
        """Read the link."""
        with contextlib.suppress(OSError):
            return int(self._pointer.readlink().name.removeprefix("g"))
        return None

    async def drop(self) -> None:
        """Move the directory aside, so that it is whole or gone, and delete it."""
        await asyncio.to_thread(self._drop)

    def _claim(self, epochs: dict[Partition, int]) -> Standing:
        with self._writing(make=True) as (writer, state):
            if state["mark"] > self.address.mark:
                raise Fenced(f"the index of {self.address} belongs to a newer database")
            if state["mark"] < self.address.mark:
                writer.delete_all_documents()
                state.update(self._make_state())
            for partition, epoch in epochs.items():
                if state["epochs"].get(_name(partition), 0) > epoch:
                    raise Fenced(f"the index of {self.address} has a newer owner; this worker joins again")
                state["epochs"][_name(partition)] = epoch
                state["offsets"].setdefault(_name(partition), 0)
            self._commit(writer, state)
        return _read_standing(state)

    def _apply(self, changes: Changes) -> None:
        with self._writing() as (writer, state):
            if self._is_repeated(changes, state):
                return
            for each in changes.fences:
                state["offsets"][_name(each.partition)] = each.following
            form = self._require_form()
            for key in changes.gone:
                writer.delete_documents_by_term(KEY, form.key(key))
            self._write(writer, changes.rows)
            self._commit(writer, state)

    def _is_repeated(self, changes: Changes, state: Mapping[str, Any]) -> bool:
        """Hold *changes* against both fences; say whether all of it is here already."""
        if not state["filled"]:
            raise CopyLost(f"the index of {self.address} is not filled; that is done now")
        repeated = changes.owned and bool(changes.fences)
        for each in changes.fences:
            name = _name(each.partition)
            if state["epochs"].get(name) != each.epoch:
                raise Fenced(f"the index of {self.address} has a newer owner; nothing of this batch was written to it")
            if state["offsets"][name] < each.expected:
                raise CopyLost(f"the index of {self.address} lost rows (an older one was put in its place?); it is filled anew")
            repeated = repeated and each.following > each.expected and state["offsets"][name] >= each.following
        return repeated

    def _begin(self) -> str:
        with self._writing() as (writer, state):
            state.update(filled=False, ticket=uuid4().hex)
            writer.delete_all_documents()
            self._commit(writer, state)
        return state["ticket"]

    def _put(self, ticket: str, rows: Sequence[Any]) -> None:
        with self._writing() as (writer, state):
            self._require_ticket(state, ticket)
            self._write(writer, rows)
            self._commit(writer, state)

    def _finish(self, ticket: str, vector: Vector) -> None:
        with self._writing() as (writer, state):
            self._require_ticket(state, ticket)
            state["offsets"] |= {_name(each): offset for each, offset in vector.items()}
            state.update(filled=True, ticket=None)
            self._commit(writer, state)

    def _require_ticket(self, state: Mapping[str, Any], ticket: str) -> None:
        if state["ticket"] != ticket:
            raise Fenced(f"the index of {self.address} is filled by someone else by now")

    @contextmanager
    def _writing(self, *, make: bool = False) -> Generator[tuple[Any, dict[str, Any]]]:
        """Hold the index's lock; what is not committed at the end is dropped."""
        try:
            if make:
                self.directory.mkdir(parents=True, exist_ok=True)
            index = self._documents.open(self.directory)
            writer = self._take_lock(index)
        except (OSError, ValueError) as error:
            raise Unreachable(f"the index of {self.address} in {self.directory} can't be written: {error}") from error
        try:
            index.reload()
            yield writer, read_state(index) or self._make_state()
        finally:
            writer.rollback()
            writer.wait_merging_threads()

    def _take_lock(self, index: Any) -> Any:
        deadline = time.monotonic() + self.limit_s
        while True:
            try:
                return index.writer(heap_size=HEAP, num_threads=1)
            except ValueError as error:
                if "LockBusy" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_S)

    def _make_state(self) -> dict[str, Any]:
        return {"mark": self.address.mark, "filled": False, "ticket": None, "epochs": {}, "offsets": {}}

    def _commit(self, writer: Any, state: Mapping[str, Any]) -> None:
        writer.delete_documents_by_term(STATE, CHECKPOINT)
        writer.add_document(self._documents.lay_out_state(state))
        writer.commit()

    def _write(self, writer: Any, rows: Sequence[Any]) -> None:
        form = self._require_form()
        for row in rows:
            key = form.key(form.table.key_of(row))
            writer.delete_documents_by_term(KEY, key)
            writer.add_document(self._documents.lay_out(key, form.texts(row), row))

    def _look(self, take: Callable[[Any], T]) -> T | None:
        """Give what *take* finds in the last commit; None without an index."""
        index = self._documents.look(self.directory)
        return None if index is None else take(index)

    def _read_all(self, index: Any) -> list[Texts]:
        searcher = index.searcher()
        query, most = self._documents.library.Query.all_query(), max(1, searcher.num_docs)
        found = (searcher.doc(address) for _, address in searcher.search(query, most).hits)
        return [read_texts(each) for each in found if each.get_first(KEY) is not None]

    def _point(self, turn: int) -> bool:
        """Move the link; its own time of change is the turn, so that both change in one step."""
        self._pointer.parent.mkdir(parents=True, exist_ok=True)
        with self._pointer.with_name(".live.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if self._pointer.lstat().st_mtime_ns > turn * 1_000:
                    return False
            made = self._pointer.with_name(f".live.{uuid4().hex}")
            made.symlink_to(self.directory.name)
            os.utime(made, ns=(turn * 1_000, turn * 1_000), follow_symlinks=False)
            made.replace(self._pointer)
        return True

    def _drop(self) -> None:
        aside = self.directory.with_name(f".gone.{uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):
            self.directory.rename(aside)
        for each in self.directory.parent.glob(".gone.*"):
            shutil.rmtree(each, ignore_errors=True)

    def _require_form(self) -> Form[Any]:
        assert self._form is not None, "opened without its declaration"
        return self._form


def _name(partition: Partition) -> str:
    return f"{partition[0]} {partition[1]}"


def _read_standing(state: Mapping[str, Any]) -> Standing:
    parts = {name: name.rpartition(" ") for name in state["offsets"]}
    return Standing(state["filled"], {(parts[name][0], int(parts[name][2])): offset for name, offset in state["offsets"].items()})
