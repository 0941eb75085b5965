"""What the server refuses, as errors that say what to do."""

from __future__ import annotations

import random

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from eventstore.errors import DuplicateEvent, LimitExceeded, MigrationMissing, RefoldError, WrongExpectedVersion
from eventstore.stream import describe_expected

WRONG_VERSION = "RF001"
DUPLICATE = "RF002"
APPEND_ONLY = "RF003"
TRY_AGAIN = frozenset({"40001", "40P01"})
IDS_IN_FLIGHT = "event_id_once"


def driver_error(error: BaseException) -> psycopg.Error | None:
    """Find psycopg's own error in what SQLAlchemy or psycopg raised."""
    inner = error.orig if isinstance(error, DBAPIError) else error
    return inner if isinstance(inner, psycopg.Error) else None


def is_lost(error: psycopg.Error) -> bool:
    """Tell whether the connection broke, so that nobody knows whether the statement was carried out."""
    state = error.sqlstate or ""
    return isinstance(error, psycopg.OperationalError) and (
        not state or state[:2] == "08" or state in {"57P01", "57P02", "57P03"}
    )


def is_gone(error: BaseException) -> bool:
    """Tell whether the driver, or SQLAlchemy around it, says that a connection broke, or that none became free in time."""
    inner = driver_error(error)
    return isinstance(error, NoneFree) if inner is None else isinstance(inner, psycopg.InterfaceError) or is_lost(inner)


def is_conflict(error: BaseException) -> bool:
    """Tell whether the server took a transaction back because it stood in another's way: the same may succeed when it is repeated."""
    inner = driver_error(error)
    return inner is not None and inner.sqlstate in TRY_AGAIN


def is_repeatable(error: psycopg.Error) -> bool:
    """Tell whether the same append may succeed, or prove to be recorded, in a new transaction."""
    return error.sqlstate in TRY_AGAIN or is_in_flight(error) or is_lost(error)


def is_in_flight(error: psycopg.Error) -> bool:
    """Tell whether another connection recorded one of the event ids between our look and our insert."""
    return error.sqlstate == "23505" and error.diag.constraint_name == IDS_IN_FLIGHT


def translate(error: psycopg.Error, stream: str, expected: int) -> RefoldError | None:
    """Give the error that an append to *stream* raises for *error*; None for one that is not foreseen."""
    if error.sqlstate == WRONG_VERSION:
        actual = int(error.diag.message_detail or 0)
        return WrongExpectedVersion(
            f"stream {stream!r} is at version {actual}, expected was {describe_expected(expected)}: another writer came first; "
            "load it, decide and append again",
            stream=stream,
            expected=expected,
            actual=actual,
        )
    if error.sqlstate == DUPLICATE or is_in_flight(error):
        told = error.diag.message_detail if is_in_flight(error) else error.diag.message_primary
        return DuplicateEvent(f"append to {stream!r}: {told}; give new events new ids", stream=stream)
    if error.sqlstate in {"3F000", "42P01", "42883"}:
        return MigrationMissing(f"{error.diag.message_primary}: run `eventstore migrate`")
    if error.sqlstate in {"54000", "22023"} and "json" in str(error):
        return LimitExceeded(f"append to {stream!r}: {error.diag.message_primary}")
    return None


def backoff_s(attempt: int) -> float:
    """Seconds to wait before *attempt* (from 1) is repeated: doubling from 4 ms up to 0.5 s, with full jitter."""
    return random.uniform(0, min(0.5, 0.002 * 2**attempt))  # noqa: S311
