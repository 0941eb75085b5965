"""Each guard is taken out once, and the run that is clean with it must then fail: so we know that the tests bite."""

import pytest

from tests.faults.planted.place import Place
from tests.faults.planted.registry import BUGS, SCENARIOS


@pytest.fixture
def place(runs, ledger, monkeypatch, used_topics, tmp_path):
    """Where to let a bug loose."""
    return Place(runs, ledger, monkeypatch, used_topics, tmp_path)


@pytest.mark.parametrize("bug", [pytest.param(each, id=each.name) for each in BUGS])
async def test_caught(place, bug):
    """The checker finds what the planted bug does, in the run that shows it."""
    bug.plant(place)
    found = await bug.scenario(place)
    assert bug.found & found, f"{bug.does}: {found}"


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.__name__) for each in SCENARIOS])
async def test_clean(place, scenario):
    """The real code goes through the same run, and the checker finds nothing."""
    assert await scenario(place) == set()


def test_registry(pytestconfig):
    """There are twelve planted bugs at least, each with a name of its own, and the documentation lists them."""
    page = (pytestconfig.rootpath / "docs" / "explanation" / "how-we-know.md").read_text("utf-8")
    assert len({each.name for each in BUGS}) == len(BUGS) >= 12
    for each in BUGS:
        assert f"| {each.name} | {each.does} | {', '.join(sorted(each.found))} |" in page
