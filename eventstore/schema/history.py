"""Whether today's classes read the data of every version that was ever recorded: BACKWARD_TRANSITIVE, with upcasters.

Being able to read the version before is not enough for a log that is replayed from its first event: version 2 may drop a field
that version 3 brings back as something else, and each step looks fine by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from eventstore.event import EventType
from eventstore.schema.containment import compare
from eventstore.schema.derivation import derive_read, derive_written
from eventstore.schema.finding import Break
from eventstore.schema.instance import make_instances
from eventstore.schema.outline import is_known
from eventstore.schema.shape import Schema, brief, fingerprint, list_fields, locate
from eventstore.schema.step import Step
from eventstore.schema.trial import Trial

How = Literal["new", "same", "proved", "tried", "refused"]
_RAISE = "Raise the version in @event, keep this one as it was, and add @upcast from it."


@dataclass(frozen=True, slots=True)
class Recorded:
    """The schema of one *version* of one *type* as the store has it. *release* is what recorded it, as its operator named it."""

    type: str
    version: int
    schema: Schema
    recorded_at: datetime | None = None
    release: str = ""

    @property
    def fingerprint(self) -> str:
        """Its 12 hex digits."""
        return fingerprint(self.schema)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of data of one *version* when today's code, at version *newest*, reads it.

    *how*: `new` (not recorded yet), `same` (as recorded), `proved` (all data fits, by its schema), `tried` (instances fit, since an
    upcaster can't be proved), `refused` (it can't be read; see *breaks*).
    """

    type: str
    version: int
    newest: int | None
    how: How
    tried: int = 0
    breaks: Sequence[Break] = field(default_factory=tuple[Break, ...])

    def facts(self) -> dict[str, Any]:
        """Give it for `--json`."""
        breaks = [each.facts() for each in self.breaks]
        return {
            "type": self.type,
            "version": self.version,
            "newest": self.newest,
            "how": self.how,
            "tried": self.tried,
            "breaks": breaks,
        }


def check_history(events: Iterable[EventType], recorded: Iterable[Recorded]) -> list[Verdict]:
    """Give a verdict for every recorded version of every type, and for what is new; sorted by type and version."""
    kinds = {each.name: each for each in events}
    known: dict[str, dict[int, Schema]] = {}
    for each in recorded:
        known.setdefault(each.type, {})[each.version] = each.schema
    verdicts = [
        verdict for name in sorted({*kinds, *known}) for verdict in _judge_type(name, kinds.get(name), known.get(name, {}))
    ]
    return sorted(verdicts, key=lambda each: (each.type, each.version))


def _judge_type(name: str, kind: EventType | None, known: Mapping[int, Schema]) -> list[Verdict]:
    if kind is None:
        why = "no imported module declares this type, so its events can't be read"
        lost = Break("", None, None, why, "Import the module that declares it (--app), or keep a class for it: history stays.")
        return [Verdict(name, version, None, "refused", breaks=[lost]) for version in known]
    written = derive_written(kind)
    shapes = {**known, kind.version: written}
    verdicts = [_judge(kind, version, shapes, known.get(version)) for version in {*known, kind.version}]
    lost = _missing_steps(kind, verdicts)
    return verdicts + lost


def _missing_steps(kind: EventType, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Refuse a version below the newest that is neither recorded nor given an upcaster: events may be stored under it."""
    judged = {each.version for each in verdicts}
    return [
        Verdict(kind.name, version, kind.version, "refused", breaks=[_no_step(kind, version)])
        for version in range(1, kind.version)
        if version not in kind.upcasters and version not in judged
    ]


def _no_step(kind: EventType, version: int) -> Break:
    why = f"no upcaster leads from version {version} to {version + 1}"
    return Break("", None, None, why, f"Declare @upcast({kind.name!r}, version={version}).")


def _judge(kind: EventType, version: int, shapes: Mapping[int, Schema], known: Schema | None) -> Verdict:
    if version > kind.version:
        why = f"version {version} is recorded, and this code knows up to {kind.version}: a newer release has written it"
        newer = Break("", None, None, why, "Deploy the newer code, or bring this branch up to it.")
        return Verdict(kind.name, version, kind.version, "refused", breaks=[newer])
    if version == kind.version:
        return _judge_same(kind, shapes, known)
    missing = [each for each in range(version, kind.version) if each not in kind.upcasters]
    if missing:
        return Verdict(kind.name, version, kind.version, "refused", breaks=[_no_step(kind, each) for each in missing])
    return _judge_older(kind, version, shapes)


def _judge_same(kind: EventType, shapes: Mapping[int, Schema], known: Schema | None) -> Verdict:
    """Judge the newest version: it must be as it was recorded, and its class must read what it writes."""
    changes = [] if known is None else find_changes(known, shapes[kind.version])
    if changes:
        return Verdict(kind.name, kind.version, kind.version, "refused", breaks=changes)
    trial = Trial(kind, kind.version, shapes)
    breaks = trial.run(make_instances(shapes[kind.version]))
    how: How = "refused" if breaks else "new" if known is None else "same"
    return Verdict(kind.name, kind.version, kind.version, how, trial.tried, breaks)


def _judge_older(kind: EventType, version: int, shapes: Mapping[int, Schema]) -> Verdict:
    trial = Trial(kind, version, shapes)
    breaks = list(trial.run(make_instances(shapes[version])))
    lifted = lift(kind, version, shapes[version])
    if lifted is not None:
        met = {each.path for each in breaks}
        breaks += [each for each in compare(lifted, derive_read(kind)) if each.path not in met and each.proven]
    proved = lifted is not None and is_known(lifted)
    return Verdict(
        kind.name, version, kind.version, "refused" if breaks else "proved" if proved else "tried", trial.tried, breaks
    )


def lift(kind: EventType, version: int, schema: Schema) -> Schema | None:
    """Give the schema of what the upcasters make of *schema*; None when one of them is a plain function."""
    for step in range(version, kind.version):
        upcaster = kind.upcasters[step]
        if not isinstance(upcaster, Step):
            return None
        schema = upcaster.shape(schema)
    return schema


def find_changes(known: Schema, now: Schema) -> list[Break]:
    """Give what differs between two schemas of the same version; none when they mean the same.

    Another spelling of the same schema, as by another release of pydantic, is no change: each reads all that the other writes.
    """
    if fingerprint(known) == fingerprint(now):
        return []
    forth = [(each.path, each.old, each.new) for each in compare(known, now)]
    back = [(each.path, each.new, each.old) for each in compare(now, known)]
    before, after = set(list_fields(known, known)), set(list_fields(now, now))
    gone = [(path, brief(locate(known, path)), None) for path in before - after]
    added = [(path, None, brief(locate(now, path))) for path in after - before]
    changed: dict[str, Break] = {}
    for path, old, new in (*gone, *added, *forth, *back):
        changed.setdefault(path, Break(path, old, new, "the class changed and its version did not", _RAISE))
    return sorted(changed.values(), key=lambda each: each.path)
