"""Which generations a release feeds: it looks at the catalogue now and then, starts workers for its own and ends the rest.

The first release to meet an unknown projection makes its first generation live at once; every later change of code goes through
a replay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import TopicMissing
from eventstore.log.bounds import find_partitions
from eventstore.meaning import shorten
from eventstore.postgres.engine import Connection, checkout
from eventstore.settings import KafkaSettings
from projections.control.catalogue import create_generation, find_live, list_generations, lock_pointer, move, note, set_pointer
from projections.control.generation import FED, Generation, State
from projections.copies import follow
from projections.declaration.chain import find_upstream
from projections.declaration.projection import EVENTS, Projection
from projections.declaration.registry import Projections
from projections.feeding.coach import Coach
from projections.feeding.deriving import bind_topics, find_derived, is_over, note_deriving
from projections.feeding.worker import Supervised, Transient, Worker
from projections.readmodels.postgres import create_indexes, create_tables
from projections.readmodels.views import move_views
from projections.release.change import describe_parts
from projections.release.fingerprint import fingerprint
from projections.settings import ProjectionSettings

log = logging.getLogger(__name__)
Say = Callable[..., None]
NAME_S = 10.0
"""Seconds between two attempts to move views that somebody held, or that something was built upon."""


class Supervisor:
    """Runs the workers of one release in this process. *say* hears what a person should know."""

    def __init__(
        self,
        app: Projections,
        engine: AsyncEngine,
        *,
        kafka: KafkaSettings,
        settings: ProjectionSettings,
        say: Say | None = None,
    ) -> None:
        self.app = app
        self.fingerprints = {each.name: fingerprint(each) for each in app}
        self._engine = engine
        self._kafka = kafka
        self._settings = settings
        self._say: Say = say or (lambda *_, **__: None)
        self._running: dict[int, Supervised] = {}
        self._coaches: dict[tuple[str, ...], Coach] = {}
        self._told: set[Any] = set()
        self._named: dict[str, int] = {}
        self._name_at = 0.0
        self._shown: dict[str, int] = {}
        self.looked = time.monotonic()

    @property
    def workers(self) -> list[Worker]:
        """The workers that run now."""
        return [each.worker for each in self._running.values()]

    async def run(self, stopping: asyncio.Event) -> None:
        """Feed this release's generations until *stopping* is set, then leave all groups.

        Raises Unreachable only for the first look; a server that goes away later is waited for.
        """
        try:
            await self.look()
            while not stopping.is_set():
                try:
                    await self.look()
                except Transient as error:
                    self._tell(("away", str(error)), f"a look at what is live was cut short, feeding goes on: {error}")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), self._settings.look_s)
        finally:
            await asyncio.gather(*(each.stop(self._settings.stop_s) for each in self._running.values()))
            self._running.clear()

    async def look(self) -> None:
        """Look at the catalogue once: start what is ours, stop what no longer is."""
        self._name_unhandled()
        wanted: dict[int, tuple[Projection, Generation]] = {}
        for projection in self.app:
            for generation in await self._find_own(projection):
                wanted[generation.id] = (projection, generation)
        for id_ in [each for each in self._running if each not in wanted]:
            self._say(f"{self._running[id_].worker.generation}: no longer fed by this worker")
            await self._running.pop(id_).stop(self._settings.stop_s)
        for id_, (projection, generation) in wanted.items():
            if id_ not in self._running:
                self._say(f"{generation}: feeding ({generation.state})", generation=generation.number, projection=projection.name)
                coach = self._find_coach(generation)
                worker = Worker(projection, generation, self._engine, self._kafka, self._settings, coach)
                self._running[id_] = Supervised(worker, self._report)
        for projection, generation in wanted.values():
            if projection.sinks and generation.state is State.LIVE and self._shown.get(projection.name) != generation.id:
                await self._show(generation)
        await self._name([each for _, each in wanted.values() if each.state is State.LIVE])
        self.looked = time.monotonic()

    async def _name(self, live: list[Generation]) -> None:
        """Let the views for people show what is live, if whoever made it live has not."""
        if time.monotonic() < self._name_at:
            return
        for generation in live:
            if self._named.get(generation.projection) == generation.id:
                continue
            if (reason := await move_views(self._engine, generation, patience_s=0)) is None:
                self._named[generation.projection] = generation.id
            else:
                self._tell(("views", generation.id, reason), reason)
                self._name_at = time.monotonic() + NAME_S

    async def _show(self, generation: Generation) -> None:
        """Point the sinks at a generation that was made live, if whoever did that has not, once they have its copies."""
        ready = [
            each.worker
            for each in self._running.values()
            if each.worker.generation.id == generation.id and each.worker.partitions
        ]
        if ready and await follow(self._engine, generation):
            self._shown[generation.projection] = generation.id

    def _find_coach(self, generation: Generation) -> Coach | None:
        """Give the read pass of all generations with these topics; None = everyone reads for itself.

        Its group is this release's own, so that processes of another release, with other generations, share other partitions out.
        """
        if not self._settings.shared:
            return None
        topics = tuple(sorted(generation.topics))
        if topics not in self._coaches:
            group = f"{self._kafka.topic_prefix}.pass.{shorten([sorted(self.fingerprints.items()), topics])}"
            self._coaches[topics] = Coach(self._kafka, self._settings, topics, group)
        return self._coaches[topics]

    def _name_unhandled(self) -> None:
        handled = {each for projection in self.app for each in projection.wanted(EVENTS)}
        for name in [each for each in EVENTS.passed if each not in handled]:
            self._tell(
                ("unhandled", name),
                f"event type {name!r} reaches no handler of this release. Its events stay in the log and are passed over: "
                "add a handler, or deploy the release that has one, and replay.",
            )
        for name, version in EVENTS.newer:
            self._tell(
                ("newer", name, version),
                f"event type {name!r} version {version} is newer than this release, and REFOLD_EVENTS_NEWER=skip passes it over: rows are "
                "wrong until the newer release is deployed and replayed.",
            )

    def _report(self, worker: Worker, error: Exception) -> None:
        self._tell(("error", worker.generation.id, str(error)), f"{worker.generation}: {type(error).__name__}: {error}")

    def _tell(self, once: Any, text: str) -> None:
        if once not in self._told:
            self._told.add(once)
            self._say(text)

    async def _find_own(self, projection: Projection) -> list[Generation]:
        async with checkout(self._engine) as connection:
            known = await list_generations(connection, projection.name)
            if not known:
                first = await self._make_first(connection, projection)
                return [first] if first and first.fingerprint == self.fingerprints[projection.name] else []
            over = [each for each in known if await is_over(connection, each)]
        mine = self.fingerprints[projection.name]
        own = [each for each in known if each.state in FED and each.fingerprint == mine and each not in over]
        live = next((each for each in known if each.state is State.LIVE), None)
        if live is None and not own:
            self._tell(
                ("none", projection.name), f"{projection.name}: no generation is live yet; `replay` is building the first one"
            )
        elif live and live.fingerprint != mine:
            self._tell(("changed", live.id), _tell_other(live, mine, own))
        return own

    async def _make_first(self, connection: Connection, projection: Projection) -> Generation | None:
        """Make the first generation; None = what it reads is derived by nothing yet, or its topic is not made yet."""
        upstream = find_upstream(projection)
        live = [await find_live(connection, each) for each in upstream]
        if not all(each and find_derived(each) for each in live):
            waits = f"{projection.name}: waits for {', '.join(upstream)}, which derive nothing live yet"
            self._tell(("upstream", projection.name), waits)
            return None
        names = await bind_topics(connection, projection, self._kafka)
        try:
            topics = await find_partitions(self._kafka, sorted(names.values()))
        except TopicMissing as error:
            self._tell(("topic", projection.name), f"{projection.name}: waits, for {error}")
            return None
        detail = note_deriving(projection, topics, names)
        return await make_live(
            self._engine, projection, self.fingerprints[projection.name], topics, self._kafka.topic_prefix, detail
        )


async def make_live(
    engine: AsyncEngine,
    projection: Projection,
    mine: str,
    topics: dict[str, int],
    prefix: str,
    detail: dict[str, Any] | None = None,
) -> Generation:
    """Make the first generation of *projection* and point readers at it; when another process was first, give that one."""
    async with engine.begin() as transaction:
        raw: Any = (await transaction.get_raw_connection()).driver_connection
        if await lock_pointer(raw, projection.name) is not None:
            found = await find_live(raw, projection.name)
            assert found is not None
            return found
        facts = {
            "projection": projection.name,
            "slug": projection.slug,
            "prefix": prefix,
            "version": projection.version,
            "fingerprint": mine,
            "topics": topics,
            "detail": {"parts": describe_parts(projection), **(detail or {})},
        }
        generation = await create_generation(raw, facts)
        await create_tables(transaction, projection, generation.schema_name)
        await create_indexes(transaction, projection, generation.schema_name)
        await set_pointer(raw, projection.name, generation.id)
        live = await move(raw, generation, State.LIVE)
        await note(raw, "first", live, origin=None, detail={})
    return live


def _tell_other(live: Generation, mine: str, own: list[Generation]) -> str:
    """Say that *live* is another release's, and what becomes of this one: it is the older one if it still has generations to feed."""
    if own:
        fed = ", ".join(f"{each} until {each.retire_at:%H:%M:%S} UTC" if each.retire_at else f"{each}" for each in own)
        return f"{live} of another release ({live.fingerprint}) is live; this one ({mine}) goes on feeding {fed}, for a rollback"
    return (
        f"{live.projection}: this release's code ({mine}) differs from the live {live} ({live.fingerprint}), which stays as it is. If this "
        f"release is the newer one, rebuild with `replay --projection {live.projection} --from-beginning`; if it is the older, stop it."
    )
