"""The examples, and the page on sinks, followed command by command; then the shop's web app beside its running workers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from eventstore.codec import decode
from tests.e2e.test_documents import REPOSITORY, Reader, reader
from tests.stack.places import search_dir
from tests.stack.waiting import until

__all__ = ["reader", "search_dir"]


@pytest.fixture
def shopper(reader: Reader, search_dir: Path, valkey_url: str, topic_prefix: str) -> Iterator[Reader]:
    """Somebody in a checkout, who has sinks of their own."""
    reader.environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "REFOLD_SINKS_VALKEY_URL": valkey_url,
        "REFOLD_SINKS_VALKEY_PREFIX": topic_prefix,
        "REFOLD_SINKS_SEARCH_DIR": str(search_dir),
    }
    return reader


def test_orders(shopper: Reader) -> None:
    """The shop's page holds; then a browser writes over the web and finds its write in each of the three places at once."""
    shopper.follow((REPOSITORY / "examples/orders/README.md").read_text("utf-8"))
    shopper._run("uvicorn examples.orders.web:app --port 0 --no-access-log &", [], 0)
    log = shopper.folder / f"background-{len(shopper.background) - 1}.log"
    address = until(lambda: next((word for word in log.read_text().split() if word.startswith("http://")), None), "it serves", 60)
    with httpx.Client(base_url=address, timeout=60) as browser:
        order = {"customer": "joan", "country": "us", "items": ["copper kettle"], "cents": 20_000}
        assert browser.put("/orders/order-9", json=order).status_code == 201
        found = decode(browser.get("/orders", params={"q": "copper kettles"}).content)
        assert [each["id"] for each in found["orders"]] == ["order-9"]
        assert decode(browser.get("/customers").content)[0]["name"] == "joan"
        assert decode(browser.get("/customers/joan").content)["cents"] == 20_000
        assert [each["cents"] for each in decode(browser.get("/revenue").content)] == [5_700, 29_900]
        assert browser.put("/orders/order-9/shipment").status_code == 201
        assert decode(browser.get("/orders", params={"q": "status:shipped"}).content)["total"] == 2
        assert browser.put("/orders/order-8/shipment").status_code == 409
        for wrong in ({"customer": "joan"}, order | {"cents": "much"}):
            assert browser.put("/orders/order-8", json=wrong).status_code == 422
        page = browser.get("/customers")
        assert browser.get("/customers", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    assert "Traceback" not in log.read_text()
    assert set(shopper.stop()) == {0}


def test_says_what_is_wrong(reader: Reader) -> None:
    """The examples end with a sentence and an exit code where something is refused or missing, and never with a traceback."""
    reader.environment["PYTHONPATH"] = str(REPOSITORY)
    assert "run `eventstore migrate`" in complain(reader, "examples.bank", "balances", code=3)
    reader._run("eventstore migrate", [], 0)
    assert "does not allow" in complain(reader, "examples.orders", "ship", "order-99", code=1)
    assert "no generation of customer-ranks is live yet" in complain(reader, "examples.orders", "top", code=3)


def complain(reader: Reader, module: str, *argv: str, code: int) -> str:
    """Run a program that must end with *code*, and give what it says about that."""
    command = [sys.executable, "-m", module, *argv]
    done = subprocess.run(command, cwd=reader.folder, env=reader.environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    return done.stderr


def test_bank(reader: Reader) -> None:
    """The bank's page holds: refusals, a race, a transfer that comes back, and a release that mends the balances of all history."""
    reader.environment["PYTHONPATH"] = str(REPOSITORY)
    reader.follow((REPOSITORY / "examples/bank/README.md").read_text("utf-8"))
    assert any(command.startswith("replay ") for command in reader.ran)
    assert set(reader.stop()) == {0}


def test_sinks_page(shopper: Reader) -> None:
    """The how-to page on sinks holds."""
    shopper.follow((REPOSITORY / "docs/how-to/keep-copies-in-sinks.md").read_text("utf-8"))
    assert any(command.startswith("replay ") for command in shopper.ran)
    assert set(shopper.stop()) == {0}
