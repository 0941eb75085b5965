"""What an app decides about its requests: whose rows they see, who may look beside the live read models, and what makes an answer new."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")
VARYING = ("accept", "accept-language", "authorization", "cookie")
"""Headers besides our own on which an answer may depend."""


def nobody(_: Request) -> bool:
    """Permit it to no request."""
    return False


def everybody(_: Request) -> bool:
    """Permit it to every request."""
    return True


def nameless(_: Request) -> None:
    """Name no tenant: the app has no tables with tenants."""


@dataclass(frozen=True, slots=True)
class Policy:
    """An app's decisions; functions may be async, and see what earlier middleware found out (`request.user`).

    *tenant* names the tenant whose rows the request sees; `eventstore.tenant.EVERY_TENANT` = all rows, for a login that may.
    *as_of* and *preview* say who may read a bounded replay by time, and a build by number; by default nobody.
    *release* names what was deployed and goes into ETags, since an answer depends on code too; None = no ETags.
    """

    tenant: Callable[[Request], str | Awaitable[str | None] | None] = nameless
    as_of: Callable[[Request], bool | Awaitable[bool]] = nobody
    preview: Callable[[Request], bool | Awaitable[bool]] = nobody
    release: str | None = None


async def settle(value: T | Awaitable[T]) -> T:
    """Give what a hook gave, waiting for it if it is async."""
    found: Any = await value if isawaitable(value) else value
    return found
