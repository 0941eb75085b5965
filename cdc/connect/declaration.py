"""A connector as its owner declares it: in Python, or in a TOML file.

    [connector]
    name = "operations"
    dsn = "postgresql://refold@127.0.0.1:${PGPORT}/operations"   # or dsn_env = "OPERATIONS_DSN"
    password_file = "/run/secrets/operations"                    # or password = "${file:/path:key}", or neither (trust)
    tables = ["public.airlines", "public.planes"]
    full = ["public.planes"]                                     # tables that get REPLICA IDENTITY FULL
    partitions = 3                                               # of each table's topic; retention_ms = -1, cleanup = "delete"
    signals = "kafka"                                            # or "table": how `cdc snapshot` reaches the connector
    state = "running"                                            # or "paused" (keeps its slot active), "stopped" (releases it)

    [options]                                                    # any other Debezium option, checked by name
    "snapshot.mode" = "initial"

`${NAME}` is replaced from the environment everywhere but in secrets, where `${provider:…}` belongs to the Connect worker.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from cdc.connect.option import check_options
from cdc.connect.secret import is_secret_name, refer_file, refuse_plain, resolve
from eventstore.errors import UsageError

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}\Z")
_TABLE = re.compile(r"[^.,\s]+\.[^.,\s]+\Z")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLAIN = ("partitions", "retention_ms", "cleanup", "signals", "signal_table", "state")
_LISTS = ("full", "publish")
_FIELDS = frozenset({"name", "dsn", "dsn_env", "password", "password_file", "tables", "worker_address", *_PLAIN, *_LISTS})
OPERATIONS = ("insert", "update", "delete", "truncate")
STATES = ("running", "paused", "stopped")


@dataclass(frozen=True, slots=True)
class Adopted:
    """The names of a connector that was made elsewhere; None = its configuration leaves that option out, so Debezium's default.

    With it, options are the connector's whole configuration, and nothing of ours is added. *topics* False leaves the tables' topics
    as they are, because they do not have one form that could be declared.
    """

    connector: str
    prefix: str
    slot: str | None = None
    publication: str | None = None
    topics: bool = True


@dataclass(frozen=True, slots=True)
class Connector:
    """Which tables of which database are captured, under which name.

    *dsn* is a `postgresql://user@host:port/database` URI; *password* a reference that the Connect worker resolves, or None when
    the server trusts the user. Our own SQL uses the password in the DSN, else the reference as far as it resolves here.
    *worker_address* is `host:port` of the database as the worker sees it, when that differs from the DSN.

    Each table's topic gets *partitions*, *retention_ms* (-1 = for ever) and *cleanup* (`delete` or `compact`). *full* are the
    tables that get REPLICA IDENTITY FULL, *publish* what the publication publishes. *signals* is how the connector is told to
    take a snapshot: `table` (rows of *signal_table*), `kafka` (a topic, for operators who may not write into the database; the
    connector itself writes its watermarks into *signal_table*) or None. *state* is what it is to be in: `running`, `paused` (tasks
    stay and read nothing) or `stopped` (no tasks, the slot released), from its creation on.
    """

    name: str
    dsn: str = field(repr=False)
    tables: tuple[str, ...]
    password: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    partitions: int = 1
    worker_address: str | None = None
    full: tuple[str, ...] = ()
    publish: tuple[str, ...] = OPERATIONS
    retention_ms: int = -1
    cleanup: str = "delete"
    signals: str | None = None
    signal_table: str = "public.cdc_signal"
    adopted: Adopted | None = None
    state: str = "running"

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise UsageError(f"the connector name {self.name!r} needs letters, digits, dots, - and _, at most 100 of them")
        self._check_tables()
        if not 1 <= self.partitions <= 1000:
            raise UsageError(f"partitions = {self.partitions} is outside of 1 to 1000")
        self._check_choices()
        self._check_address()
        for option, value in self.options.items():
            if is_secret_name(option):
                refuse_plain(option, value)
        if self.password is not None:
            refuse_plain("password", self.password)
        if self.adopted is None:
            check_options(dict(self.options))

    def _check_tables(self) -> None:
        if not self.tables:
            raise UsageError(f"connector {self.name} captures no table: list them under tables")
        for table in self.tables:
            if not _TABLE.match(table):
                raise UsageError(f"the table {table!r} is not schema.table", table=table)

    def _check_choices(self) -> None:
        stray = [table for table in self.full if table not in self.tables]
        if stray:
            raise UsageError(f"full names {stray[0]}, which is not under tables", table=stray[0])
        for name, given, allowed in (
            ("publish", self.publish, OPERATIONS),
            ("cleanup", (self.cleanup,), ("delete", "compact", "compact,delete")),
            ("signals", (self.signals,), (None, "kafka", "table")),
            ("state", (self.state,), STATES),
        ):
            wrong = [each for each in given if each not in allowed]
            if wrong or not given:
                raise UsageError(f"{name} = {wrong[0] if wrong else ''!r} is none of {', '.join(str(each) for each in allowed)}")
        if self.signals is not None and not _TABLE.match(self.signal_table):
            raise UsageError(f"the signal_table {self.signal_table!r} is not schema.table")

    def _check_address(self) -> None:
        parts = urlsplit(self.dsn)
        try:
            sound = parts.scheme in ("postgresql", "postgres") and parts.hostname and parts.path.strip("/") and parts.port != 0
        except ValueError:  # a port that is no number
            sound = False
        if not sound:
            raise UsageError(
                f"the dsn of connector {self.name} must read postgresql://user@host:port/database: Connect speaks TCP and needs all"
            )
        if parts.password and self.password is None:
            raise UsageError(
                f"the dsn of connector {self.name} brings a password, which serves our own SQL only: say where the Connect worker "
                "finds it, with password_file or password (a reference such as ${env:NAME})"
            )

    @property
    def host(self) -> str:
        """Host of the database, as the Connect worker sees it."""
        return (self.worker_address or f"{urlsplit(self.dsn).hostname}").partition(":")[0]

    @property
    def port(self) -> int:
        """Port of the database, as the Connect worker sees it."""
        given = (self.worker_address or "").partition(":")[2]
        return int(given) if given else urlsplit(self.dsn).port or 5432

    @property
    def has_port(self) -> bool:
        """Whether the port is said, here or for the worker, and not PostgreSQL's default."""
        return ":" in (self.worker_address or "") or urlsplit(self.dsn).port is not None

    @property
    def user(self) -> str:
        """The role that Debezium connects as."""
        return unquote(urlsplit(self.dsn).username or "postgres")

    @property
    def database(self) -> str:
        """The captured database."""
        return unquote(urlsplit(self.dsn).path.strip("/"))

    def find_dsn(self) -> str:
        """Give the URI for our own SQL, with password. Raises PreconditionFailed when its reference can't be resolved here."""
        parts = urlsplit(self.dsn)
        if parts.password or self.password is None:
            return self.dsn
        return self.with_password(resolve(self.password))

    def with_password(self, password: str) -> str:
        """Give the URI with *password* in it."""
        parts = urlsplit(self.dsn)
        user, _, rest = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{rest}"))


def read_connector(path: Path) -> Connector:
    """Read a TOML file. Raises UsageError naming the file and what is wrong in it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}", file=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}", file=str(path)) from error
    try:
        return _build(document, path.parent)
    except UsageError as error:
        raise UsageError(f"{path}: {error}", file=str(path), **error.facts) from error


def _build(document: dict[str, Any], folder: Path) -> Connector:
    section: dict[str, Any] = document.get("connector", {})
    unknown = sorted(section.keys() - _FIELDS) + sorted(document.keys() - {"connector", "options", "adopted"})
    if unknown:
        raise UsageError(f"{unknown[0]!r} is not known here: [connector] takes {', '.join(sorted(_FIELDS))}, beside it [options]")
    missing = [name for name in ("name", "tables") if name not in section]
    if missing:
        raise UsageError(f"[connector] needs {missing[0]}")
    return Connector(
        name=expand(str(section["name"])),
        dsn=_read_dsn(section),
        tables=tuple(expand(str(table)) for table in cast("list[Any]", section["tables"])),
        password=_read_password(section, folder),
        options=_read_options(document),
        **{name: section[name] for name in _PLAIN if name in section},
        **_read_lists(section),
        adopted=_read_adopted(document.get("adopted")),
        worker_address=expand(str(section["worker_address"])) if "worker_address" in section else None,
    )


def _read_lists(section: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(str(each) for each in cast("list[Any]", section[name])) for name in _LISTS if name in section}


def _read_adopted(section: dict[str, Any] | None) -> Adopted | None:
    if section is None:
        return None
    try:
        return Adopted(**section)
    except TypeError as error:
        raise UsageError(
            "[adopted] takes connector and prefix, and slot and publication where the configuration has them"
        ) from error


def _read_dsn(section: dict[str, Any]) -> str:
    if ("dsn" in section) == ("dsn_env" in section):
        raise UsageError("[connector] needs either dsn or dsn_env")
    if "dsn" in section:
        written = str(section["dsn"])
        password = urlsplit(written).password or ""
        if password and not _VARIABLE.fullmatch(password):
            refuse_plain("the password in dsn", password)
        return expand(written)
    variable = str(section["dsn_env"])
    if variable not in os.environ:
        raise UsageError(f"dsn_env names {variable}, which is not set in the environment")
    return os.environ[variable]


def _read_password(section: dict[str, Any], folder: Path) -> str | None:
    if "password" in section and "password_file" in section:
        raise UsageError("[connector] takes password or password_file, not both")
    if "password_file" in section:
        return refer_file(folder / expand(str(section["password_file"])))
    return str(section["password"]) if "password" in section else None


def _read_options(document: dict[str, Any]) -> dict[str, str]:
    """Read [options]; an adopted connector's are taken as they are, since `${…}` means something to Debezium there."""
    written = _flatten(document.get("options", {}))
    if "adopted" in document:
        return {name: str(value) for name, value in written.items()}
    return {name: _write_option(name, value) for name, value in written.items()}


def _write_option(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(str(each) for each in cast("list[Any]", value))
    return str(value) if is_secret_name(name) else expand(str(value))


def _flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flatten(cast("dict[str, Any]", value), f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def expand(text: str) -> str:
    """Replace `${NAME}` from the environment; `${provider:…}` is left to the worker. Raises UsageError for one not set."""

    def look(match: re.Match[str]) -> str:
        value = os.environ.get(match[1])
        if value is None:
            raise UsageError(f"{match[0]} is not set in the environment", variable=match[1])
        return value

    return _VARIABLE.sub(look, text)
