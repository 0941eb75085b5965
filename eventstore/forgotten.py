"""The event that says that a person was forgotten, recorded in each stream that holds sealed data of that person.

Being in the same stream, hence in the same partition, it reaches a handler after every earlier event of that stream, those that were
read while the key still existed among them. So a handler that redacts its row has the last word, whatever else was going on.
"""

from __future__ import annotations

from typing import Final

from eventstore.event import event

FORGOTTEN: Final = "subject-forgotten"


@event(FORGOTTEN)
class SubjectForgotten:
    """The key of *subject* is gone: what was sealed with it reads as REDACTED. Handlers blank what their rows have of it."""

    subject: str
