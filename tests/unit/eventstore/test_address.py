"""Where a database is, as messages say it: never with a secret."""

import pytest
from pydantic import SecretStr

from eventstore import PostgresSettings


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://ann:s3cret@db:5433/shop?sslpassword=s3cret", "postgresql://ann@db:5433/shop"),
        ("host=db port = 5433 user=ann password=s3cret dbname=shop", "host=db port=5433 user=ann dbname=shop"),
        ("password='my user=s3cret \\' dbname=s3cret' host='db'", "host='db'"),
        ("password=s3cret", "the given DSN"),
    ],
)
def test_address(dsn: str, shown: str) -> None:
    """A DSN of either form is shown without its password, wherever that stands."""
    assert PostgresSettings(dsn=SecretStr(dsn)).address == shown
