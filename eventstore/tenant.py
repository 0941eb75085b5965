"""Tenants: whose stream it is, said by the stream's name itself, `@acme/order-1`.

The name is the one thing that every path has already: the append function, both ways into the log, the record's key, envelopes and
tokens. So nothing on the wire or in the tables is said twice, a stream can't change its tenant, and all of a tenant's streams lie
side by side in the index. docs/adr/0017-tenants.md argues it against a column.
"""

from __future__ import annotations

import re
from typing import Final

from eventstore.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SIGN: Final = "@"
EVERY_TENANT: Final = "*"
"""What a worker's session says instead of a tenant's name, since it writes the rows of all."""


def check_tenant(tenant: str) -> str:
    """Give *tenant* if it can name one. Raises UsageError."""
    if not _NAME.fullmatch(tenant):
        raise UsageError(f"tenant {tenant[:80]!r}: use 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter or digit")
    return tenant


def prefix_of(tenant: str) -> str:
    """Give what all streams of *tenant* begin with. Raises UsageError."""
    return f"{_SIGN}{check_tenant(tenant)}/"


def qualify(tenant: str, name: str) -> str:
    """Give the full name of a stream, subject or tag of *tenant*; a full name of its own stays.

    Raises UsageError for one of another tenant.
    """
    prefix = prefix_of(tenant)
    if name.startswith(prefix):
        return name
    if name.startswith(_SIGN):
        raise UsageError(f"{name[:80]!r} is not of tenant {tenant!r}: nothing of another tenant can be named here", tenant=tenant)
    return prefix + name


def split(name: str) -> tuple[str | None, str]:
    """Give the tenant of a full name (None = of no tenant) and the rest.

    What can't name a tenant names none: `@:/x` and `@*/x` are streams as any other that a source may have.
    """
    if not name.startswith(_SIGN):
        return None, name
    tenant, slash, rest = name[1:].partition("/")
    return (tenant, rest) if slash and _NAME.fullmatch(tenant) else (None, name)
