"""Where an archive is, as messages say it: never with a secret."""

import pytest

from eventstore.archive.place import Place, mask_url
from eventstore.errors import UsageError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://AKIA:s3cret@bucket/topics?region=eu-central-1&secret_key=s3cret", "s3://bucket/topics"),
        ("gs://bucket", "gs://bucket"),
        ("/srv/archive?", "/srv/archive?"),
        ("file:///srv/a@b", "file:///srv/a@b"),
    ],
)
def test_shown(url: str, shown: str) -> None:
    """A URL is shown without login and options, a path as it is."""
    assert mask_url(url) == shown


def test_refused() -> None:
    """A URL that leads nowhere is refused without the secrets in it."""
    with pytest.raises(UsageError, match="nowhere://bucket/topics is no place for an archive") as refused:
        Place("nowhere://ann:s3cret@bucket/topics")
    assert "s3cret" not in str(refused.value)
