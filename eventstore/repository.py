"""Load, decide, append, and again when another writer came first: what a decider needs to live in a store.

A command with an id is carried out once. Its events get ids that follow from the command's, the stream's name and their number, so
a retry after a lost answer finds them recorded and gives the first answer again, without deciding a second time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

from eventstore.backoff import jitter_s
from eventstore.codec import decode, encode
from eventstore.decider import Decider
from eventstore.envelope import Envelope, NewEvent
from eventstore.errors import DuplicateEvent, UsageError, WrongExpectedVersion
from eventstore.event import Events, fields_of, registry
from eventstore.identity import derive_id, make_id
from eventstore.snapshot import Codec, Load, Policy, Snapshot, Snapshots, amount, every, is_fit, seal
from eventstore.store import EventStore
from eventstore.stream import Token, describe_expected

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")
log = logging.getLogger(__name__)
COMMAND = "commandid"
"""The metadata field that names the command which caused an event."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A stream's *state* at *version* (0 = it has no event), and the *token* of its last event.

    *folded* counts the events since the last snapshot, *seconds* what loading took, *kinds* the event types folded in.
    """

    state: S
    version: int
    token: Token | None
    last_id: UUID | None = None
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])
    folded: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Handled(Generic[E, S]):
    """What a command came to: the new *events*, the *state* after them, the stream's *version* and the *token* to wait for.

    *events* is empty when nothing was decided; then *token* is that of the stream's last event, None for an empty stream.
    *repeated*: an earlier run of the same command recorded them.
    """

    events: tuple[E, ...]
    state: S
    version: int
    token: Token | None
    repeated: bool = False


class Repository(Generic[C, E, S]):
    """One decider in one store. Any number of tasks may use it at once.

    *snapshots* shorten loads; *policy* says when one is written (by default every 100 events). They are written in the background:
    `async with Repository(...)`, or `settle()`, waits for the last ones. *attempts*: how often a command is decided in all.
    """

    def __init__(
        self,
        store: EventStore,
        decider: Decider[C, E, S],
        *,
        snapshots: Snapshots | None = None,
        policy: Policy | None = None,
        attempts: int = 16,
        events: Events = registry,
    ) -> None:
        self.decider = decider
        self._store = store
        self._snapshots = snapshots
        self._policy = policy or every(100)
        self._attempts = attempts
        self._events = events
        self._codec = Codec(decider.shape) if snapshots else None
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._told = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.settle()

    async def settle(self) -> None:
        """Wait until no snapshot is being written."""
        while self._writing:
            await asyncio.gather(*self._writing.values())

    async def load(
        self, stream: str, *, version: int | None = None, as_of: datetime | None = None, connection: Any = None
    ) -> Loaded[S]:
        """Fold *stream*, as it is, or as it was at *version*, or *as_of* a time by when its events were recorded.

        *connection*: within the caller's transaction. A version beyond the end gives what there is. Raises UnknownEvent,
        UndecodableRecord, UsageError for a version below 0 and a naive time.
        """
        if version is not None and version < 0:
            raise UsageError(f"version={version}: a stream's versions count from 1, and 0 is the state before them")
        started = time.perf_counter()
        loaded = await self._begin(stream, version, as_of)
        loaded, _ = await self._fold(stream, loaded, version, as_of, connection)
        loaded = replace(loaded, seconds=time.perf_counter() - started)
        if connection is None and version is None and as_of is None:
            self._keep(stream, loaded)
        return loaded

    async def handle(
        self,
        stream: str,
        command: C,
        *,
        command_id: UUID | None = None,
        expected: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        connection: Any = None,
    ) -> Handled[E, S]:
        """Decide *command* on the state of *stream* and record what follows.

        *command_id*: the same id again gives the first outcome again. *expected*: the version that the caller decided on, such as
        the one that a form was shown with; with another one WrongExpectedVersion is raised at once. *metadata* goes to each event.
        *connection*: within the caller's transaction, in which the stream is locked first, so nothing is decided twice; the caller
        repeats the transaction on SQLSTATE 40001 and 40P01.
        Raises what `decide` raises; WrongExpectedVersion when other writers came first in every attempt.
        """
        cause = command_id or make_id()
        if connection is not None:
            await self._store.hold(stream, connection)
            return await self._try(stream, command, cause, expected, metadata, connection)
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._try(stream, command, cause, expected, metadata, None)
            except (WrongExpectedVersion, DuplicateEvent):
                if expected is not None or attempt == self._attempts:
                    raise
            await asyncio.sleep(jitter_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    async def _try(
        self,
        stream: str,
        command: C,
        cause: UUID,
        expected: int | None,
        metadata: Mapping[str, Any] | None,
        connection: Any,
    ) -> Handled[E, S]:
        started = time.perf_counter()
        begun = await self._begin(stream, None, None)
        loaded, first = await self._fold(stream, begun, None, None, connection, derive_id(cause, stream, 0))
        if first is None and begun.version:
            first = await self._look(derive_id(cause, stream, 0), stream, connection)
        if first is not None:
            return await self._repeat(stream, cause, first, connection)
        if expected is not None and expected != loaded.version:
            raise WrongExpectedVersion(
                f"stream {stream!r} is at version {loaded.version}, the command expects {describe_expected(expected)}: show what "
                "changed and let the command be given again",
                stream=stream,
                expected=expected,
                actual=loaded.version,
            )
        events = self._settle(self.decider.decide(command, loaded.state))
        if not events:
            return Handled((), loaded.state, loaded.version, loaded.token)
        told = {**(metadata or {}), COMMAND: str(cause)}
        new = [NewEvent(each, id=derive_id(cause, stream, n), metadata=told) for n, each in enumerate(events)]
        token = await self._store.append(stream, new, expected=loaded.version, connection=connection)
        if token.version != loaded.version + len(events):  # another run of this command recorded it meanwhile
            return await self._repeat(stream, cause, token.version - len(events) + 1, connection)
        after = self._advance(loaded, events, new[-1].id, token)
        if connection is None:
            self._keep(stream, replace(after, seconds=time.perf_counter() - started))
        return Handled(events, after.state, token.version, token)

    async def _begin(self, stream: str, version: int | None, as_of: datetime | None) -> Loaded[S]:
        """Give the state to fold on from: a snapshot's if one is fit, else the initial one."""
        nothing = Loaded(self.decider.initial(), 0, None)
        if self._snapshots is None or self._codec is None or as_of is not None:
            return nothing
        most = version if version is not None else 2**63 - 1
        try:
            found = await self._snapshots.find(stream, self.decider.fingerprint, most)
            if found is None:
                return nothing
            if not is_fit(found, self._events):
                self._discard(stream, "it is damaged, or an event type in it reads otherwise now")
                return nothing
            state = self._codec.decode(found.state)
        except Exception as error:  # it is a cache: whatever is wrong with it, the stream tells the truth
            self._discard(stream, str(error))
            return nothing
        return Loaded(state, found.version, None, found.event_id, found.kinds)

    async def _fold(
        self,
        stream: str,
        begun: Loaded[S],
        version: int | None,
        as_of: datetime | None,
        connection: Any,
        wanted: UUID | None = None,
    ) -> tuple[Loaded[S], int | None]:
        """Fold the events after *begun*; give also the version of the event *wanted*, None when it was not among them.

        The event that a snapshot stands on is read again: when it is not there the snapshot is of another history.
        """
        state, last, folded, seen, at = begun.state, None, 0, dict(begun.kinds), None
        evolve, start = self.decider.evolve, max(begun.version, 1)
        async for each in self._store.read_stream(
            stream, from_version=start, to_version=version, as_of=as_of, connection=connection
        ):
            at = each.version if each.id == wanted else at
            last = each
            if each.version == begun.version:
                if each.id != begun.last_id:
                    break
                continue
            state, folded = evolve(state, each.data), folded + 1
            if each.type not in seen:
                seen[each.type] = amount(self._events.named(each.type))
        if begun.version and (last is None or (last.version == begun.version and last.id != begun.last_id)):
            self._discard(stream, "it stands on an event that is not in the stream")
            return await self._fold(stream, Loaded(self.decider.initial(), 0, None), version, as_of, connection, wanted)
        return _loaded(state, last, seen, folded), at

    async def _look(self, event_id: UUID, stream: str, connection: Any) -> int | None:
        found = await self._store.find(event_id, connection=connection)
        return found[1] if found and found[0] == stream else None

    async def _repeat(self, stream: str, cause: UUID, first: int, connection: Any) -> Handled[E, S]:
        """Give the outcome that the command had when its events, from version *first*, were recorded."""
        events: list[E] = []
        async for each in self._store.read_stream(stream, from_version=first, connection=connection):
            if each.id != derive_id(cause, stream, len(events)):
                break
            events.append(each.data)
        loaded = await self.load(stream, version=first + len(events) - 1, connection=connection)
        return Handled(tuple(events), loaded.state, loaded.version, loaded.token, repeated=True)

    def _settle(self, decided: Iterable[E]) -> tuple[E, ...]:
        """Give the events as they will be read: what JSON can't keep must not get into a state that a snapshot is made of."""
        kinds = ((self._events.of(type(each)), each) for each in decided)
        return tuple(kind.decode(decode(encode(fields_of(each))), kind.version) for kind, each in kinds)

    def _advance(self, loaded: Loaded[S], events: Iterable[E], last_id: UUID, token: Token) -> Loaded[S]:
        state, kinds, folded = loaded.state, dict(loaded.kinds), loaded.folded
        for each in events:
            state, folded = self.decider.evolve(state, each), folded + 1
            kind = self._events.of(type(each))
            kinds[kind.name] = amount(kind)
        return Loaded(state, token.version, token, last_id, kinds, folded)

    def _keep(self, stream: str, loaded: Loaded[S]) -> None:
        """Write a snapshot in the background when the policy wants one; one at a time for a stream."""
        if self._snapshots is None or self._codec is None or stream in self._writing or loaded.last_id is None:
            return
        if not self._policy(Load(loaded.version, loaded.folded, loaded.seconds)):
            return
        if any(self._events.named(name).privacy for name in loaded.kinds):
            self._tell_once(stream, "persons' data went into its state, which must end with their keys: it is folded each time")
            return
        state = self._codec.encode(loaded.state)
        if state is None:
            self._tell_once(stream, "its state does not read back equal from JSON; give Decider(state=...)")
            return
        made = Snapshot(stream, self.decider.fingerprint, loaded.version, loaded.last_id, loaded.kinds, state, seal(state))
        self._start(stream, self._snapshots.save(made))

    def _tell_once(self, stream: str, reason: str) -> None:
        if not self._told:
            log.warning("no snapshot of %r: %s", stream, reason)
        self._told = True

    def _discard(self, stream: str, reason: str) -> None:
        """Do without the snapshot, and drop it in the background, so that a good one can take its place."""
        log.warning("snapshot of %r is passed over: %s", stream, reason)
        if self._snapshots is not None and stream not in self._writing:
            self._start(stream, self._snapshots.drop(stream))

    def _start(self, stream: str, work: Coroutine[Any, Any, Any]) -> None:
        self._writing[stream] = asyncio.create_task(self._finish(stream, work))

    async def _finish(self, stream: str, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except Exception as error:
            log.warning("the snapshot of %r was not written or dropped: %s", stream, error)
        finally:
            self._writing.pop(stream, None)


def _loaded(state: S, last: Envelope[Any] | None, kinds: Mapping[str, str], folded: int) -> Loaded[S]:
    if last is None:
        return Loaded(state, 0, None)
    return Loaded(state, last.version, last.token, last.id, kinds, folded)
