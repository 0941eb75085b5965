"""Databases for tests: one each, copied from a template, gone afterwards with the replication slots that would hold them."""

import logging
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

log = logging.getLogger(__name__)
PATIENCE = "15s"
SESSIONS = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
ACTIVITY = """
SELECT pid, backend_type, datname, application_name, state, wait_event_type, wait_event, left(query, 80)
FROM pg_stat_activity WHERE pid <> pg_backend_pid()
"""
SLOTS = "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = %s"


class Databases:
    """Creates and drops databases on one server, over one connection."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def __enter__(self) -> Self:
        self._connection = psycopg.connect(self._dsn, autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def dsn(self, name: str) -> str:
        """Name the DSN of database *name* on this server."""
        return urlunsplit(urlsplit(self._dsn)._replace(path=f"/{name}"))

    def create(self, name: str, template: str = "template1") -> str:
        """Create database *name* as a copy of *template* and return its DSN."""
        self._run("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self.dsn(name)

    def make_template(self, name: str, fill: Callable[[str], object]) -> str:
        """Create database *name* anew, let *fill* prepare it (it gets the DSN, and leaves no connection), and return *name*."""
        self.drop(name)
        fill(self.create(name))
        return name

    def drop(self, name: str) -> None:
        """Drop database *name* if it exists, whoever is still connected to it.

        The sessions are ended first: FORCE waits for what they have locked of the database itself. A DROP that takes long, and a few of
        thousands did for exactly a minute, is cancelled and repeated, which is allowed; who was connected is logged.
        """
        self._connection.execute(SESSIONS, (name,))
        for slot, pid in self._connection.execute(SLOTS, (name,)).fetchall():
            if pid is not None:
                self._connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
            self._connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
        for last in (False, False, True):
            try:
                self._run("SET statement_timeout = {}", "0" if last else PATIENCE)
                self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
            except psycopg.errors.QueryCanceled:
                log.warning("dropping %s takes long: %s", name, self._connection.execute(ACTIVITY).fetchall())
            else:
                return
            finally:
                self._connection.execute("RESET statement_timeout")

    def _run(self, statement: str, *names: str) -> None:
        self._connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
