"""Declarations from wherever they are written: TOML files, directories of them, Python objects (`shop.connectors:operations`)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from cdc.connect.config import find_names
from cdc.connect.declaration import Connector, read_connector
from eventstore.errors import UsageError
from eventstore.settings import KafkaSettings


def read_sources(sources: Iterable[str], kafka: KafkaSettings) -> list[Connector]:
    """Read every connector of *sources*. Raises UsageError for what can't be read, and for two that would get in each other's way."""
    found = [each for source in sources for each in _read(source)]
    if not found:
        raise UsageError("no connector is declared there: give TOML files, directories of them, or module:attribute")
    check_conflicts(found, kafka)
    return found


def check_conflicts(connectors: Sequence[Connector], kafka: KafkaSettings) -> None:
    """Refuse two declarations of one connector, slot or topic prefix. Raises UsageError that names both."""
    seen: dict[tuple[str, str], Connector] = {}
    for each in connectors:
        names, server = find_names(each, kafka), f"{each.host}:{each.port}"
        for what, name in (
            ("connector", names.connector), ("topic prefix", names.prefix), ("slot", f"{names.slot} on {server}"),
            ("publication", f"{names.publication} in {each.database} on {server}"),
        ):  # fmt: skip
            other = seen.setdefault((what, name), each)
            if other is not each:
                raise UsageError(f"{other.name} and {each.name} both declare the {what} {name}: give one of them another name")


def _read(source: str) -> list[Connector]:
    path = Path(source)
    if path.is_dir():
        return [read_connector(each) for each in sorted(path.glob("*.toml"))]
    module, colon, attribute = source.partition(":")
    if colon and not path.exists() and all(part.isidentifier() for part in module.split(".")):
        return _import(source, module, attribute)
    return [read_connector(path)]


def _import(source: str, module: str, attribute: str) -> list[Connector]:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        given: Any = getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UsageError(f"{source}: {error}. Give module:attribute, such as shop.connectors:operations.") from error
    listed = list(cast("list[Any]", given)) if isinstance(given, (list, tuple)) else [given]
    wrong = [each for each in listed if not isinstance(each, Connector)]
    if wrong:
        raise UsageError(f"{source} holds a {type(wrong[0]).__name__}, not a cdc.connect.declaration.Connector")
    return listed
