"""The public face of the package."""

import subprocess
import sys

import eventstore

DRIVERS = {"sqlalchemy", "psycopg", "alembic", "aiokafka", "httpx"}


def test_all_is_sorted_and_complete() -> None:
    """`__all__` is what the module offers: constants first, then the rest in order, each with a meaning."""
    names = eventstore.__all__
    constants = sorted(name for name in names if name.isupper())
    classes = sorted(name for name in names if name[0].isupper() and not name.isupper())
    assert names == [*constants, *classes, *sorted(name for name in names if name[0].islower())]
    assert all(hasattr(eventstore, name) for name in names)


def test_importing_loads_no_driver() -> None:
    """Importing the package, or declaring events with it, loads no database and no Kafka driver."""
    program = "import sys, eventstore; print(*{each.partition('.')[0] for each in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "eventstore" in loaded
    assert not DRIVERS & set(loaded)
