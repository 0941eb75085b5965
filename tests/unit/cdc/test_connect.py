"""What Connect's answers mean."""

from __future__ import annotations

import pytest

from cdc.connect.client import ConnectClient
from cdc.connect.retry import Verdict, backoff_s, judge
from cdc.connect.settings import ConnectSettings
from cdc.connect.state import ConnectorState
from cdc.connect.trace import classify
from cdc.status import check_drift, check_state
from eventstore.errors import Unreachable


@pytest.mark.parametrize(
    ("status", "text", "is_json", "verdict"),
    [
        (200, "", True, Verdict.DONE),
        (204, "", True, Verdict.DONE),
        (404, "<html>", False, Verdict.BOOTING),
        (200, "<html>", False, Verdict.BOOTING),
        (503, "starting", True, Verdict.BOOTING),
        (404, "Connector x not found", True, Verdict.REFUSED),
        (409, "Connector x already exists", True, Verdict.REFUSED),
        (409, "Cannot complete request because of a conflicting operation (e.g. worker rebalance)", True, Verdict.AGAIN),
        (409, "Cannot complete request momentarily due to stale configuration", True, Verdict.AGAIN),
        (
            409,
            "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway",
            True,
            Verdict.AGAIN,
        ),
        (409, "Failed to complete zombie fencing because a new set of task configs was generated", True, Verdict.AGAIN),
        (500, "Request cannot be completed because a rebalance is expected", True, Verdict.AGAIN),
        (500, "Request timed out. The worker is currently doing something", True, Verdict.UNKNOWN),
        (500, "IO Error trying to forward REST request: x", True, Verdict.UNKNOWN),
        (500, "Unrecognized field", True, Verdict.REFUSED),
        (400, "Connector configuration is invalid", True, Verdict.REFUSED),
        (415, "<html>", False, Verdict.REFUSED),
    ],
)
def test_judge(status, text, is_json, verdict):
    """Each kind of answer is done, repeated, read back or refused, by its status and text."""
    assert judge(status, text, is_json=is_json) is verdict


def test_backoff():
    """Pauses grow from a quarter of a second to five seconds, with jitter."""
    assert 0.125 <= backoff_s(1) <= 0.25
    assert 2.5 <= backoff_s(50) <= 5


def state(connector="RUNNING", *tasks):
    """Make what Connect answers for a connector with these tasks."""
    listed = [{"id": number, "state": word, "trace": "Caused by: x"} for number, word in enumerate(tasks)]
    return ConnectorState.read({"connector": {"state": connector, "worker_id": "w"}, "tasks": listed})


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "state"),
        (state("RUNNING"), "tasks"),
        (state("PAUSED", "PAUSED"), "state"),
        (state("STOPPED"), "state"),
        (state("RUNNING", "UNASSIGNED"), "state"),
        (state("RUNNING", "RUNNING", "FAILED"), "failed"),
        (state("FAILED"), "failed"),
    ],
)
def test_unhealthy_states(given, code):
    """No tasks, a pause, a stop, a failed or unassigned task: none of them is healthy."""
    (finding,) = check_state(given, "x")
    assert (finding.severity, finding.code) == ("fail", code)


def test_running_state():
    """All tasks RUNNING has nothing against it; whether it captures is proved elsewhere."""
    assert check_state(state("RUNNING", "RUNNING"), "x") == []


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ('org.postgresql.util.PSQLException: FATAL: password authentication failed for user "x"', "password"),
        ("org.postgresql.util.PSQLException: Connection to db:1 refused. Check that", "address"),
        (
            "The connector is trying to read change stream starting at x but this is no longer available on the server.",
            "wal gone",
        ),
        ('PSQLException: ERROR: replication slot "x" is active for PID 1', "slot busy"),
        ('PSQLException: ERROR: publication "x" does not exist', "publication"),
        ("io.debezium.DebeziumException: Failed to properly convert data value for 'public.t.c' of type varbit", "value"),
        ("java.lang.NullPointerException", "unknown"),
    ],
)
def test_classify(cause, kind):
    """A trace is told by its innermost known cause, with a remedy."""
    trace = f"org.apache.kafka.connect.errors.ConnectException: stopped.\n\tat io.debezium.X(Y.java:1)\nCaused by: {cause}\n\t... 5 more"
    found = classify(trace)
    assert found.kind == kind
    assert found.remedy
    assert "\tat " not in found.cause


def test_drift():
    """A connector whose NULLs become defaults is not healthy."""
    assert any(finding.severity == "fail" for finding in check_drift({}))


@pytest.mark.parametrize("url", ["https://ada:hush@connect.example:8083/", "https://ada:hu@sh@h", "//ada:hush@h:port"])
def test_hide_login(url: str) -> None:
    """A login in a URL is not shown, whatever is wrong with the rest of it."""
    shown = ConnectSettings(url=url).address
    assert "ada" not in shown
    assert "sh" not in shown


async def test_login_in_errors() -> None:
    """Who can't reach Connect is told where it should be, and not with which password."""
    async with ConnectClient(ConnectSettings(url="http://ada:hush@127.0.0.1:9")) as connect:
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 does not answer") as told:
            await connect.read_version()
    assert "hush" not in f"{told.value}{told.value.facts}"
