"""One pool policy for every connection: who we are, how long we may idle, and one error when the server does not answer.

`open_engine` gives an ordinary SQLAlchemy engine, `checkout` the psycopg connection under it, for functions, COPY and
pipelines. `libpq` reads the DSN itself, so sockets, services and several hosts work as everywhere else.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from eventstore.errors import Unreachable
from eventstore.settings import PostgresSettings

Connection = psycopg.AsyncConnection[Any]
_SECRET = re.compile(r"://[^:/@\s]*:([^@\s]*)@|(?:ssl)?password=([^&\s]+)")
_START = "Start it (`refold up`) or set REFOLD_POSTGRES_DSN to a server that runs."
_ADVICE = (
    (
        "certificate verify failed",
        "Put the authority that signed its certificate into sslrootcert (REFOLD_POSTGRES_SSLROOTCERT).",
    ),
    ("root certificate file", "Put the authority that signed its certificate into sslrootcert (REFOLD_POSTGRES_SSLROOTCERT)."),
    ("does not match host name", "Use the certificate's name as host in REFOLD_POSTGRES_DSN."),
    ("server does not support SSL", "Switch TLS on there (ssl = on), or lower sslmode (REFOLD_POSTGRES_SSLMODE)."),
    ("no encryption", "It wants TLS: set sslmode (REFOLD_POSTGRES_SSLMODE) to verify-full."),
    ("requires a valid client certificate", "Set sslcert and sslkey (REFOLD_POSTGRES_SSLCERT, REFOLD_POSTGRES_SSLKEY)."),
    ("private key file", "Look at sslkey and sslpassword (REFOLD_POSTGRES_SSLKEY, REFOLD_POSTGRES_SSLPASSWORD)."),
    ("channel binding", "Look at channel_binding (REFOLD_POSTGRES_CHANNEL_BINDING): it needs TLS and a SCRAM password."),
    ("authentication failed", "Look at user and password in REFOLD_POSTGRES_DSN."),
    ("no password supplied", "Give the password in REFOLD_POSTGRES_DSN, or in the password file of libpq."),
)
"""What libpq says, and the setting to look at; the first that fits counts."""
ConnectionLost = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError)
"""What a statement raises when its connection is gone; take a new one."""


def open_engine(settings: PostgresSettings | None = None, *, application: str = "refold") -> AsyncEngine:
    """Make the engine for *settings*; nothing is connected before its first use. End it with `await engine.dispose()`.

    *application* is what `pg_stat_activity` shows. Sessions run in UTC, without JIT (it costs more than it saves on short
    statements), and are ended by the server when they idle inside a transaction. Raises Unreachable at first use.
    """
    chosen = settings or PostgresSettings()
    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=_connector(chosen, application),
        pool_size=chosen.pool_size,
        max_overflow=0,
        pool_timeout=chosen.connect_timeout_s,
    )
    _losses[engine.sync_engine] = _Loss(engine.sync_engine)
    return engine


class _Loss:
    """When a connection of a pool was last found broken: older ones are replaced when they are asked for.

    Disposing of the whole pool instead would leave what others hold at that moment open for ever.
    """

    def __init__(self, engine: Engine) -> None:
        self._at = -1.0
        event.listen(engine, "connect", self._note)
        event.listen(engine, "checkout", self._judge)

    def happen(self) -> None:
        """Distrust every connection that was made before now."""
        self._at = time.monotonic()

    def _note(self, _raw: Any, record: Any) -> None:
        record.info["since"] = time.monotonic()

    def _judge(self, _raw: Any, record: Any, _proxy: Any) -> None:
        if record.info["since"] <= self._at:
            raise DisconnectionError("its sibling was found broken")


_losses: WeakKeyDictionary[Engine, _Loss] = WeakKeyDictionary()


@asynccontextmanager
async def checkout(engine: AsyncEngine) -> AsyncGenerator[Connection]:
    """Lend a pooled connection as psycopg's own, in autocommit: open transactions with `async with connection.transaction()`.

    What was left open is rolled back on return; a broken connection is thrown away, and its siblings when they are asked for next.
    """
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(engine.connect())
        except DBAPIError as error:  # a first connection that broke while SQLAlchemy looked around on it
            raise (error.orig if isinstance(error.orig, psycopg.Error) else error) from error
        pooled = await connection.get_raw_connection()
        raw: Connection = pooled.driver_connection  # pyright: ignore[reportAssignmentType]
        await raw.set_autocommit(True)
        _lent[raw] = connection
        try:
            yield raw
        finally:
            if raw.closed:
                await connection.invalidate()
                if engine.sync_engine in _losses:
                    _losses[engine.sync_engine].happen()
            else:
                await _clean(raw)


class Loan:
    """One pooled connection, taken at first need and kept over many uses until `aclose`; for who has use after use and no pause.

    Close it after every error, so that a broken connection is thrown away; the next `take` gets another.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None

    async def take(self) -> Connection:
        """Give the connection. Raises as `checkout` does."""
        if self._connection is None:
            self._connection = await self._stack.enter_async_context(checkout(self._engine))
        return self._connection

    async def aclose(self) -> None:
        """Give the connection back, if there is one."""
        self._connection = None
        await self._stack.aclose()


_lent: WeakKeyDictionary[Connection, AsyncConnection] = WeakKeyDictionary()


def lent(connection: Connection) -> AsyncConnection:
    """Give SQLAlchemy's face of a connection that `checkout` lends: its statements run in whatever transaction is open there."""
    return _lent[connection]


async def _clean(raw: Connection) -> None:
    if raw.info.transaction_status != TransactionStatus.IDLE:
        await raw.rollback()
    raw.row_factory = tuple_row
    await raw.set_autocommit(False)


def _connector(settings: PostgresSettings, application: str) -> Callable[..., Awaitable[Connection]]:
    dsn = settings.dsn.get_secret_value()
    own = f"-c idle_in_transaction_session_timeout={settings.idle_in_transaction_s * 1000:.0f} -c jit=off -c timezone=UTC"

    async def connect(*_: Any, **__: Any) -> Connection:
        try:
            given = conninfo_to_dict(dsn)
            return await psycopg.AsyncConnection.connect(
                dsn,
                autocommit=False,
                application_name=application,
                connect_timeout=max(2, round(settings.connect_timeout_s)),
                options=f"{own} {given.get('options') or ''}".strip(),
                **{name: value for name, value in _secure(settings).items() if name not in given},
            )
        except psycopg.Error as error:
            raise unreachable(settings, error) from error

    return connect


def _secure(settings: PostgresSettings) -> dict[str, Any]:
    """Give what the settings say of encryption, for the parts that the DSN leaves open."""
    wanted = {name: getattr(settings, name) for name in ("sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding")}
    told = {name: str(value) for name, value in wanted.items() if value is not None}
    return told if settings.sslpassword is None else {**told, "sslpassword": settings.sslpassword.get_secret_value()}


def unreachable(settings: PostgresSettings, error: BaseException) -> Unreachable:
    """Say in one sentence that the server at the masked address does not answer, and what to do."""
    reason = " ".join(_hide(settings, str(error)).split()) or type(error).__name__
    advice = next((told for sign, told in _ADVICE if sign in reason), _START)
    return Unreachable(
        f"PostgreSQL at {settings.address} does not let us in: {reason.rstrip('?.')}. {advice}",
        address=settings.address,
    )


def _hide(settings: PostgresSettings, text: str) -> str:
    """Blot out the DSN and the secrets in it: libpq quotes what it can't read."""
    dsn = settings.dsn.get_secret_value()
    secrets = [dsn, *(part for found in _SECRET.findall(dsn) for part in found)]
    if settings.sslpassword is not None:
        secrets.append(settings.sslpassword.get_secret_value())
    for each in secrets:
        text = text.replace(each, "***") if each else text
    return text


def is_guarded(settings: PostgresSettings) -> bool:
    """Say whether nobody between here and the server can listen or pose as it: a local server, or verify-full."""
    given = conninfo_to_dict(settings.dsn.get_secret_value())
    hosts = str(given.get("hostaddr") or given.get("host") or "").split(",")
    return all(map(is_local, hosts)) or (given.get("sslmode") or settings.sslmode) == "verify-full"


def is_local(host: str) -> bool:
    """Say whether *host* names this machine, a socket included; "" is libpq's default, a socket."""
    return not host or host.startswith(("/", "127.")) or host in {"localhost", "::1"}
