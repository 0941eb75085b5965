"""The error tree: picklable, and with the documented exit codes."""

import pickle

import pytest

from compose import errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.StackError)]


@pytest.mark.parametrize("kind", KINDS)
def test_survives_pickling(kind: type[errors.StackError]) -> None:
    """Message, facts and kind of an error survive a trip between processes."""
    copy = pickle.loads(pickle.dumps(kind("it broke", port=1)))
    assert (type(copy), str(copy), copy.facts) == (kind, "it broke", {"port": 1})


def test_exit_codes() -> None:
    """Each kind has the exit code that the project documents."""
    assert {kind.__name__: kind.exit_code for kind in KINDS} == {
        "StackError": 1,
        "StackUsageError": 2,
        "StackPrecondition": 3,
        "PortTaken": 3,
        "MemoryShort": 3,
        "PackageMissing": 3,
        "ServerDown": 3,
        "StackTimeout": 4,
        "StackHeld": 5,
        "ServerUnreachable": 6,
        "DownloadFailed": 6,
    }


def test_docstring_is_the_default() -> None:
    """An error without a message says what its class says."""
    assert str(errors.StackTimeout()) == "A server did not become ready in time."
