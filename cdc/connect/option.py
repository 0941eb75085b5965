"""Every option that a PostgreSQL connector knows, for refusing what it does not know.

Connect takes any key and says nothing: a misspelt option is an option not set. The list is Debezium 3.7.0.Final's own
(`configdef.json`, captured from a worker), the documented options that it leaves out, and Connect's families of prefixes.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from eventstore.codec import decode
from eventstore.errors import UsageError

_UNLISTED = (
    "offset.mismatch.strategy", "read.only", "money.fraction.digits", "poll.dispatch.interval.ms", "topic.delimiter",
    "topic.cache.size", "topic.transaction", "topic.heartbeat.prefix", "topic.heartbeat.name",
    "database.connection.factory.class",
)  # fmt: skip
_FAMILIES = (
    "transforms.", "predicates.", "key.converter.", "value.converter.", "header.converter.", "producer.override.",
    "admin.override.", "consumer.override.", "topic.creation.", "signal.kafka.", "signal.consumer.", "driver.",
    "snapshot.select.statement.overrides.", "openlineage.",
)  # fmt: skip
_PATTERNED = re.compile(
    r"column\.(mask\.hash\.(v2\.)?[^.]+\.with\.salt\..+|mask\.with\.\d+\.chars|truncate\.to\.\d+\.chars)|signal\.file"
)
"""Options whose names hold a value of theirs; the plugin's own list has expressions in their place."""
_INSTEAD = re.compile(r"[Uu]se '?([a-z][a-z.]+[a-z])'? instead")


@cache
def known_options() -> dict[str, dict[str, Any]]:
    """Give each known option's definition by name: type, default_value, importance, documentation."""
    listed = decode((files("cdc.connect") / "configdef.json").read_bytes())
    return {**{name: {"name": name} for name in _UNLISTED}, **{option["name"]: option for option in listed}}


def is_known(name: str, options: dict[str, str]) -> bool:
    """Tell whether a connector with these *options* understands *name* (converters name their own prefixes)."""
    custom = [f"{each.strip()}." for key in ("converters", "post.processors") for each in options.get(key, "").split(",") if each]
    return name in known_options() or name.startswith((*_FAMILIES, *custom)) or _PATTERNED.fullmatch(name) is not None


def find_close(name: str) -> str:
    """Give `did you mean …?` with the option that *name* is most like; empty when it is like none."""
    close = difflib.get_close_matches(name, known_options(), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else ""


def find_deprecation(name: str) -> str | None:
    """Say what is to be done about an option that Debezium or Connect will drop; None for one that stays."""
    told = str(known_options().get(name, {}).get("documentation", ""))
    if not told.startswith("(Deprecated)"):
        return None
    instead = _INSTEAD.search(told)
    return f"did you mean {instead[1]}? {told}" if instead else f"take it out: {told}"


def check_options(options: dict[str, str]) -> None:
    """Refuse names that no connector understands. Raises UsageError naming the closest known one."""
    for name in options:
        if not is_known(name, options):
            hint = find_close(name)
            what = f"the option {name!r} is not known to Debezium's PostgreSQL connector"
            raise UsageError(f"{what}: {hint}" if hint else what, option=name)
