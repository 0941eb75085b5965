"""Asks a server whether it answers, and which version it is, without a driver of its own.

One question each: PostgreSQL is asked by the `psql` that comes with it, Kafka by an ApiVersions request, Connect by its REST
root. The same questions serve the servers that we start and those that the user named. All raise ServerUnreachable.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from compose.errors import ServerUnreachable

PATIENCE_S = 5.0
API_VERSIONS = 18
NEEDS_TLS = ("SSL support is not compiled in", "no encryption")
"""What psql says when the server wants TLS."""


@dataclass(frozen=True)
class Answer:
    """What a server said of itself."""

    version: str
    detail: str = ""


def ask_postgres(dsn: str, psql: Path | None) -> Answer:
    """Return server version and `wal_level` at *dsn*; without a *psql* only that something listens."""
    parts = urlsplit(dsn)
    if psql is None:
        _touch(parts.hostname or "127.0.0.1", parts.port or 5432, "PostgreSQL")
        return Answer("unknown", "listens; its version is unknown because the stack extra and psql are absent")
    try:
        rows = query(psql, dsn, "SELECT current_setting('server_version') || '|' || current_setting('wal_level')")
    except ServerUnreachable as error:
        if not any(each in str(error) for each in NEEDS_TLS):
            raise
        _touch(parts.hostname or "127.0.0.1", parts.port or 5432, "PostgreSQL")
        return Answer("unknown", "listens and wants TLS, which the wheel's psql can't do: `eventstore doctor` asks it")
    version, _, level = rows.partition("|")
    return Answer(version, f"wal_level={level}")


def query(psql: Path, dsn: str, sql: str) -> str:
    """Run one statement by *psql* at *dsn* and return what it prints; raises ServerUnreachable with psql's own words."""
    plain, password = _split(dsn)
    environment = {**os.environ, "PGCONNECT_TIMEOUT": str(int(PATIENCE_S)), "PGAPPNAME": "refold", **password}
    command = (str(psql), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, "-d", plain)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE_S, env=environment)
    except subprocess.TimeoutExpired as error:
        raise ServerUnreachable(f"PostgreSQL at {masked(dsn)} did not answer within {error.timeout:g} s.") from error
    if done.returncode:
        raise ServerUnreachable(f"PostgreSQL at {masked(dsn)} refused: {done.stderr.strip()}")
    return done.stdout.strip()


def _split(dsn: str) -> tuple[str, dict[str, str]]:
    """Take the password out of *dsn*, so that it is not seen in the list of processes."""
    parts = urlsplit(dsn)
    if not parts.password:
        return dsn, {}
    plain = parts.netloc.replace(f":{parts.password}@", "@", 1)
    return urlunsplit(parts._replace(netloc=plain)), {"PGPASSWORD": unquote(parts.password)}


def ask_kafka(bootstrap: str) -> Answer:
    """Return the level of Kafka's features at the first broker of *bootstrap* that answers."""
    reasons: list[str] = []
    for broker in bootstrap.split(","):
        host, _, port = broker.strip().rpartition(":")
        try:
            return _greet(host or "127.0.0.1", int(port))
        except (OSError, ValueError, struct.error) as error:
            if not isinstance(error, ConnectionRefusedError) and _speaks_tls(host or "127.0.0.1", port):
                return Answer("unknown", "listens and wants TLS: `eventstore doctor` asks it")
            reasons.append(f"{broker}: {error or type(error).__name__}")
    raise ServerUnreachable(f"Kafka does not answer: {'; '.join(reasons)}.")


def _greet(host: str, port: int) -> Answer:
    name, release = b"refold", b"1"
    header = struct.pack(">hhih", API_VERSIONS, 3, 1, len(name)) + name + b"\0"
    body = bytes([len(name) + 1]) + name + bytes([len(release) + 1]) + release + b"\0"
    with socket.create_connection((host, port), timeout=PATIENCE_S) as connection:
        connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack(">i", stream.read(4))
            answer = stream.read(length)
    correlation, code = struct.unpack_from(">ih", answer)
    if correlation != 1 or code not in {0, 35}:
        raise ValueError(f"not a Kafka broker (error {code})")
    return Answer(_feature_level(answer))


def _speaks_tls(host: str, port: str) -> bool:
    """Say whether the listener shakes hands over TLS; whose certificate it shows is for others to check."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain, context.wrap_socket(plain):
            return True
    except (OSError, ValueError):
        return False


def _feature_level(answer: bytes) -> str:
    """Find `metadata.version` among the finalized features: the nearest that the protocol has to a server version."""
    name = b"metadata.version"
    at = answer.rfind(bytes([len(name) + 1]) + name)
    if at < 0:
        return "unknown"
    (level,) = struct.unpack_from(">h", answer, at + 1 + len(name))
    return f"metadata.version {level}"


def ask_connect(url: str) -> Answer:
    """Return the worker's version at *url* once it has joined its group, with the Debezium plugin that it found."""
    root = _get(url, "/")
    _get(url, "/connectors")
    plugins = {one["class"].rsplit(".", 1)[-1]: one.get("version", "") for one in _get(url, "/connector-plugins")}
    debezium = plugins.get("PostgresConnector")
    return Answer(root["version"], f"Debezium {debezium}" if debezium else "without the Debezium connector for PostgreSQL")


def _get(url: str, path: str) -> Any:
    request = urllib.request.Request(url.rstrip("/") + path, headers={"Accept": "application/json"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)
    except (OSError, ValueError, HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ServerUnreachable(f"Kafka Connect at {url} does not answer {path}: {reason}.") from error


def _touch(host: str, port: int, what: str) -> None:
    try:
        socket.create_connection((host, port), timeout=PATIENCE_S).close()
    except OSError as error:
        raise ServerUnreachable(f"{what} at {host}:{port} does not answer: {error}.") from error


def masked(dsn: str) -> str:
    """Return *dsn* without its password."""
    parts = urlsplit(dsn)
    if not parts.hostname:
        return "the given DSN"
    user = f"{parts.username}@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{user}{parts.hostname}{port}{parts.path}"
