"""`cdc adopt`: a declaration for a connector that was made elsewhere, without touching it or its data.

The declaration says what is there, so that its plan is empty: names, tables, the publication's operations, replica identities, topics,
and every option as it stands. A secret becomes a reference; one that stands in plain text in Connect stays there until
`cdc doctor --fix` moves it, because only its owner can put it where the worker reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cdc.check import Facts
from cdc.connect.config import PLUGIN, name_topic, read_names
from cdc.connect.declaration import OPERATIONS
from cdc.connect.scope import list_captured
from cdc.connect.secret import is_reference, is_secret_name
from cdc.plan.world import Topic
from eventstore.codec import encode
from eventstore.errors import PreconditionFailed

_COMPOSED = re.compile(
    r"(name|connector\.class|topic\.prefix|slot\.name|publication\.name|database\.(hostname|port|user|password|dbname))\Z"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What is there of connector *name*: in Connect, PostgreSQL and Kafka."""

    name: str
    config: Mapping[str, str]
    existing: Sequence[str]
    tables: Sequence[Facts] = ()
    publication: Facts | None = None
    topics: Mapping[str, Topic] | None = None
    state: str = "RUNNING"

    @property
    def captured(self) -> list[str]:
        """The tables that it captures, of those that exist."""
        there = set(self.existing)
        return [table for table in list_captured(self.config, self.existing) if table in there]


@dataclass(frozen=True, slots=True)
class Declared:
    """A TOML declaration, and the secrets that stand in plain text as option -> reference."""

    text: str
    plain: Mapping[str, str]
    notes: Sequence[str]


def write_declaration(found: Found, name: str) -> Declared:
    """Write the declaration of *found* under *name*. Raises PreconditionFailed for what is no Debezium connector for PostgreSQL."""
    if found.config.get("connector.class") != PLUGIN:
        raise PreconditionFailed(f"{found.name} is a {found.config.get('connector.class')}, and only {PLUGIN} can be adopted")
    if not found.captured:
        raise PreconditionFailed(f"{found.name} captures no table that exists: there is nothing to adopt")
    plain = find_plain(found.config, name)
    notes: list[str] = []
    section = _write_connector(found, name, plain, notes)
    names = read_names(found.name, found.config)
    adopted: dict[str, Any] = {"connector": found.name, "prefix": names.prefix}
    for key, option in (("slot", "slot.name"), ("publication", "publication.name")):
        if option in found.config:
            adopted[key] = found.config[option]
    shape = _find_shape(found, names.prefix)
    if shape is None:
        adopted["topics"] = False
        notes.append("its topics are not all of one form, so they are left as they are")
    else:
        section |= shape
    options = {option: plain.get(option, value) for option, value in sorted(found.config.items()) if not _COMPOSED.match(option)}
    parts = (("connector", section), ("adopted", adopted), ("options", options))
    notes += [
        f"{option} stands in plain text in Connect; the declaration says {reference}" for option, reference in plain.items()
    ]
    return Declared("\n\n".join(_write_section(*part) for part in parts) + "\n", plain, notes)


def find_plain(config: Mapping[str, str], name: str) -> dict[str, str]:
    """Give a reference for every secret that stands in plain text."""
    found = [option for option, value in config.items() if is_secret_name(option) and value and not is_reference(value)]
    return {option: f"${{env:{re.sub(r'[^A-Z0-9]+', '_', f'{name}_{option}'.upper())}}}" for option in found}


def _write_connector(found: Found, name: str, plain: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    config = found.config
    port = f":{config['database.port']}" if "database.port" in config else ""
    user = quote(config.get("database.user", "postgres"), safe="")
    section: dict[str, Any] = {
        "name": name,
        "dsn": f"postgresql://{user}@{config['database.hostname']}{port}/{quote(config['database.dbname'])}",
        "tables": found.captured,
    }
    password = plain.get("database.password", config.get("database.password"))
    if password:
        section["password"] = password
    if found.state in ("PAUSED", "STOPPED"):
        section["state"] = found.state.lower()
    full = [table["name"] for table in found.tables if table["identity"] == "f"]
    if full:
        section["full"] = full
    if found.publication is None:
        notes.append("its publication does not exist")
    elif tuple(found.publication["operations"]) != OPERATIONS:
        section["publish"] = list(found.publication["operations"])
    return section


def _find_shape(found: Found, prefix: str) -> dict[str, Any] | None:
    """Give the one form of all its topics: partitions, retention and cleanup; None when they differ."""
    there = [topic for table in found.captured if (topic := (found.topics or {}).get(name_topic(prefix, table))) is not None]
    forms = {
        (
            topic.partitions,
            int(topic.config.get("retention.ms", "-1")),
            ",".join(sorted(topic.config.get("cleanup.policy", "delete").split(","))),
        )
        for topic in there
    }
    if len(forms) != 1:
        return None if forms else {}
    ((partitions, retention_ms, cleanup),) = forms
    return {"partitions": partitions, "retention_ms": retention_ms, "cleanup": cleanup}


def _write_section(name: str, values: Mapping[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{_write_key(key)} = {encode(value).decode()}" for key, value in values.items())])


def _write_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else encode(key).decode()
