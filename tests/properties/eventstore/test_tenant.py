"""Tenants in names: what is said of one by a name, and what only looks like it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.errors import UsageError
from eventstore.tenant import EVERY_TENANT, prefix_of, qualify, split

tenants = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)


@given(tenant=tenants, name=st.text().filter(lambda each: not each.startswith("@")))
def test_there_and_back(tenant: str, name: str) -> None:
    """A name of a tenant is split into the tenant and the name, and qualified once only."""
    full = qualify(tenant, name)
    assert split(full) == (tenant, name)
    assert qualify(tenant, full) == full


@given(name=st.text() | st.text().map("@{}/x".format))
@example(name=f"@{EVERY_TENANT}/x")
@example(name="@acme\n/x")
@example(name="@:/")
def test_any_name(name: str) -> None:
    """Whatever a stream is called, it is split: into a tenant that there can be, or into none and the whole name."""
    tenant, rest = split(name)
    if tenant is None:
        assert rest == name
    else:
        assert qualify(tenant, rest) == name


@pytest.mark.parametrize("name", ["", "*", ":", "acme\n", "Acme", "a" * 64, "-a"])
def test_no_tenant(name: str) -> None:
    """What can't name a tenant is refused, a line's end after it included."""
    with pytest.raises(UsageError, match="use 1 to 63"):
        prefix_of(name)
