"""What one request asks of the read models, besides rows: how new, how old, or which build. Read from its headers; pure.

| header | query | cookie | meaning |
|---|---|---|---|
| Refold-Token | | refold_token | contain at least these writes |
| Refold-As-Of | as_of | | as of this time |
| Refold-Generation | | | these builds instead of the live ones: `orders=7, revenue=3` |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from starlette.requests import Request

from projections.serving.bookmark import Bookmark
from projections.web.problem import Refused
from projections.web.seal import UNSEALED, Seal

TOKEN = "Refold-Token"  # noqa: S105 - a header's name
AS_OF = "Refold-As-Of"
GENERATION = "Refold-Generation"
QUERY = "as_of"
_BUILD = re.compile(r"([a-z][a-z0-9-]{0,38})=(\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wish:
    """*bookmark*: writes to wait for. *as_of*: a time in the past. *generations*: numbers of builds by projection."""

    bookmark: Bookmark = field(default_factory=Bookmark)
    as_of: datetime | None = None
    generations: Mapping[str, int] = field(default_factory=dict[str, int])


def read_wish(request: Request, cookie: str, seal: Seal = UNSEALED, *, query: bool) -> Wish:
    """Read what *request* asks for; *cookie* is the name of the cookie with a bookmark ("" = none), *query* whether `?as_of=` counts.

    *seal* tells tokens that others made. Raises Refused for a header that can't be read.

    A cookie that can't is passed over: its browser has no way to put it right.
    """
    told = request.headers.get(AS_OF) or (request.query_params.get(QUERY) if query else None)
    return Wish(
        _read_bookmark(request.headers.get(TOKEN, ""), seal)
        | _read_cookie(request.cookies.get(cookie, "") if cookie else "", seal),
        _read_time(told) if told else None,
        _read_builds(request.headers.get(GENERATION, "")),
    )


def _read_bookmark(text: str, seal: Seal) -> Bookmark:
    try:
        return Bookmark.parse(seal.read(text))
    except ValueError as error:
        raise Refused(f"{TOKEN}: {error}. Send back what an answer's {TOKEN} said, or leave it out.") from None


def _read_cookie(text: str, seal: Seal) -> Bookmark:
    try:
        return Bookmark.parse(seal.read(text))
    except ValueError:
        return Bookmark()


def _read_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Refused(f"{text!r} is no time with a zone: write 2026-01-31T12:00:00Z (in a query, + is %2B)")
    return found


def _read_builds(text: str) -> dict[str, int]:
    parts = [each.strip() for each in text.split(",") if each.strip()]
    found = [_BUILD.fullmatch(each) for each in parts]
    if not all(found):
        raise Refused(f"{GENERATION}: {text!r} names no builds: write orders=7, or orders=7, revenue=3")
    return {each[1]: int(each[2]) for each in found if each}


def write_builds(numbers: Mapping[str, int]) -> str:
    """Write what `Refold-Generation` says of an answer: the builds that it was read from."""
    return ", ".join(f"{name}={number}" for name, number in sorted(numbers.items()))
