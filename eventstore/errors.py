"""The one exception tree of refold.

    RefoldError                       exit code 1
    ├── UsageError                    2   the call or a declaration is wrong; nothing was tried
    ├── PreconditionFailed            3   the world is not as it must be; nothing was changed
    │   ├── MigrationMissing              the database schema is older than this release
    │   ├── RestoredElsewhere             the store came here in a dump, and was not settled here
    │   ├── ForgottenSubject              personal data for a subject whose key was destroyed
    │   ├── SchemaRefused                 an event's schema changed under its version, or can't read what is recorded
    │   ├── TopicMissing                  a topic is not there, or not yet
    │   ├── HistoryIncomplete             a topic no longer starts at offset zero
    │   └── VerificationFailed            a rebuilt generation does not hold what it should
    ├── TimedOut                      4
    ├── HeldElsewhere                 5   another operator or worker holds it
    ├── Unreachable                   6   PostgreSQL, Kafka or Connect does not answer
    ├── WrongExpectedVersion          1   another writer came first: load, decide, append again
    ├── ConditionFailed               1   an event that a condition excludes is there: read, decide, append again
    ├── DuplicateEvent                1   an event id was already recorded with other neighbours
    ├── LimitExceeded                 1   an event or an append is larger than a named limit
    ├── UndecodableRecord             1   bytes that are not what their topic promises
    │   ├── SchemaDrifted                 a captured table's columns are not those that handlers were written for
    │   ├── NewerEvent                    a schema version that this release does not know yet
    │   └── UndeclaredEvent               a type that no module of this release declares, where the policy is to park it
    ├── UnknownEvent                  1   a stored type that no class answers for
    ├── ProcessStuck                  1   a process can't react to an event; it tries again until the code is mended
    ├── OutcomeUnknown                1   a call that is made at most once was begun, and nobody noted its end
    └── Fenced                        1   a newer owner took over; what this one held was not written

A class's docstring is its default message. A message says what happened, with which values, and what to do next.
Every error is picklable. `exit_code` is what a console script returns for it (see CONTRIBUTING.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def suggest(name: str, known: Iterable[str]) -> str:
    """Give the sentence that asks for the nearest of the *known* names, with a space before it; nothing when none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


class RefoldError(Exception):
    """refold could not do what was asked."""

    exit_code = 1

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        """Take the whole sentence and the *facts* in it, which `--json` prints beside the sentence."""
        super().__init__(message or type(self).__doc__)
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.facts)


def _rebuild(kind: type[RefoldError], args: tuple[Any, ...], facts: dict[str, Any]) -> RefoldError:
    return kind(*args, **facts)


class UsageError(RefoldError):
    """The call is wrong; see --help."""

    exit_code = 2


class PreconditionFailed(RefoldError):
    """Something that must hold before this step does not; nothing was changed."""

    exit_code = 3


class MigrationMissing(PreconditionFailed):
    """The database has not been migrated to this release: run `eventstore migrate`."""


class RestoredElsewhere(PreconditionFailed):
    """The store was restored from a dump on another server: run `eventstore restored`."""


class ForgottenSubject(PreconditionFailed):
    """The subject was forgotten; no personal data of it can be recorded any more."""


class SchemaRefused(PreconditionFailed):
    """An event's schema does not fit what the store has recorded: raise its version and add an upcaster."""


class TopicMissing(PreconditionFailed):
    """A topic is not there, or not yet: start what makes it."""


class HistoryIncomplete(PreconditionFailed):
    """The topic no longer starts at offset zero, so a replay from it would lose events."""


class VerificationFailed(PreconditionFailed):
    """The rebuilt generation does not hold what it should; the live one still serves."""


class TimedOut(RefoldError):
    """The step did not finish within its time limit."""

    exit_code = 4


class HeldElsewhere(RefoldError):
    """Someone else is doing this at the moment; wait for them or end their run."""

    exit_code = 5


class Unreachable(RefoldError):
    """A server does not answer."""

    exit_code = 6


class WrongExpectedVersion(RefoldError):
    """The stream is not at the expected version: load it, decide and append again."""


class ConditionFailed(RefoldError):
    """An event that the append's condition excludes is there: read, decide and append again."""


class DuplicateEvent(RefoldError):
    """An event id is already recorded, in another stream or beside other events: give new events new ids."""


class LimitExceeded(RefoldError):
    """An event or an append is larger than a limit allows."""


class UndecodableRecord(RefoldError):
    """The bytes are not what their topic promises."""


class SchemaDrifted(UndecodableRecord):
    """A captured table's columns are not those that handlers were written for: write the row class anew with `cdc types`."""


class NewerEvent(UndecodableRecord):
    """A newer release wrote this event: deploy it here too, and replay."""


class UndeclaredEvent(UndecodableRecord):
    """No module of this release declares the event's type: deploy the release that does, and replay."""


class UnknownEvent(RefoldError):
    """No class is registered for a stored event type: import the module that declares it."""


class ProcessStuck(RefoldError):
    """A process can't react to an event; it stands still and tries again."""


class OutcomeUnknown(RefoldError):
    """A call that is made at most once was begun, and nobody noted how it ended: find out, then retry it or give it up."""


class Fenced(RefoldError):
    """A newer owner took over; nothing that this one still held was written."""
