"""What went wrong, for programs and for people: `application/problem+json` as RFC 9457 has it, with what to do next.

| type | status | when |
|---|---|---|
| urn:refold:bad-request | 400 | a header or `?as_of=` can't be read, or names a projection that there is not |
| urn:refold:forbidden | 403 | this app, or this user, may not read builds or times other than the live ones |
| urn:refold:no-such-generation | 404 | no build with that number, or for that time, is there to be read |
| urn:refold:late | 503 | the read model did not reach the token in time; the write stands. Retry-After says when to ask again |
| urn:refold:not-live | 503 | a projection has no live generation yet, a copy is not filled, or the schema is older than this release |
| urn:refold:unreachable | 503 | a server does not answer, a connection broke, or none became free; clients are not told which |
| urn:refold:wrong-expected-version, condition-failed, duplicate-event, forgotten-subject | 409 | an append came second, or can't be |
| urn:refold:limit-exceeded | 413 | an event or an append is too large |

Everything else is a fault of the app: it goes on to the app's own handlers and ends as a 500. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from eventstore.codec import encode
from eventstore.errors import (
    ConditionFailed,
    DuplicateEvent,
    ForgottenSubject,
    LimitExceeded,
    MigrationMissing,
    RefoldError,
    TimedOut,
    Unreachable,
    WrongExpectedVersion,
)
from eventstore.postgres.refusals import is_gone
from projections.copies.contract import NotFilled

MEDIA = "application/problem+json"
RETRY_S = 1
"""Seconds after which a client may well ask again."""


class Refused(RefoldError):
    """What the request asks for is not given to it."""

    def __init__(self, message: str, status: int = 400, **facts: Any) -> None:
        """Take the sentence for the client and the *status* of the answer."""
        super().__init__(message, **facts)
        self.status = status


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer: its *status*, *kind* (last part of the type) and *title*, which never changes for a kind.

    *told* is what clients hear in place of the error's own words and facts, which name servers and logins.
    """

    status: int
    kind: str
    title: str
    told: str | None = None

    def answer(self, error: Exception, instance: str) -> Response:
        """Write it as a response; the facts of *error* are extension members."""
        detail: str = self.told or str(error)
        facts: dict[str, Any] = {} if self.told or not isinstance(error, RefoldError) else error.facts
        said = {
            "type": f"urn:refold:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": detail,
            "instance": instance,
        }
        headers = {"Cache-Control": "no-store"} | ({"Retry-After": str(RETRY_S)} if self.status == 503 else {})
        return Response(encode({**facts, **said}), self.status, headers, media_type=MEDIA)


_REFUSED = {
    400: Problem(400, "bad-request", "The request can't be read"),
    403: Problem(403, "forbidden", "Only the live read models may be read"),
    404: Problem(404, "no-such-generation", "There is no such build to read"),
    503: Problem(503, "not-live", "The read models can't be read yet"),
}
_UNREACHABLE = Problem(503, "unreachable", "A server does not answer", "What this is read from does not answer: ask again.")
_KNOWN: dict[type[RefoldError], Problem] = {
    TimedOut: Problem(503, "late", "The read model has not seen the write yet"),
    Unreachable: _UNREACHABLE,
    WrongExpectedVersion: Problem(409, "wrong-expected-version", "Another writer came first"),
    ConditionFailed: Problem(409, "condition-failed", "What the write depends on has changed"),
    DuplicateEvent: Problem(409, "duplicate-event", "This was recorded already, beside other events"),
    ForgottenSubject: Problem(409, "forgotten-subject", "Nothing can be recorded about this person any more"),
    LimitExceeded: Problem(413, "limit-exceeded", "Too large to be recorded"),
    MigrationMissing: Problem(503, "not-live", "The read models can't be read yet"),
    NotFilled: Problem(503, "not-live", "The read models can't be read yet"),
}


def find_problem(error: Exception) -> Problem | None:
    """Find what *error* is to a client; None = a fault of the app."""
    if isinstance(error, Refused):
        return _REFUSED[error.status]
    if not isinstance(error, RefoldError):
        return _UNREACHABLE if is_gone(error) else None
    return next((_KNOWN[kind] for kind in type(error).__mro__ if kind in _KNOWN), None)
