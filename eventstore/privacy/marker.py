"""What an event class says of its fields: `Personal[T]` is sealed, `Subject[T]` names whose it is.

A personal field reads as a plain T, or as `Redacted` when it can't be opened any more. To a type checker `Personal[str]` is
`str | Redacted`, and since Redacted is a str, code that takes a str goes on working; `Personal[date]` makes the checker ask what to
do with a person who was forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")


class Redacted(str):
    """A personal value that can't be read: REDACTED for ever, because its key is gone, or SEALED, because this process has no keys.

    It is a text, so that it passes through handlers, rows and JSON; `is_redacted` tells it apart from a text that says the same.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "SEALED" if self == SEALED else "REDACTED"

    def __copy__(self) -> Redacted:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> Redacted:
        return self

    def __reduce__(self) -> tuple[Callable[[str], Redacted], tuple[str]]:
        return Redacted, (str(self),)


REDACTED: Final = Redacted("[redacted]")
"""Erased: the key of the subject was destroyed."""
SEALED: Final = Redacted("[sealed]")
"""Still there, but this process may not read it: no master key is configured."""


def is_redacted(value: object) -> TypeIs[Redacted]:
    """Say whether *value* is a personal value that could not be read."""
    return isinstance(value, Redacted)


class PersonalMark:
    """The mark under `Personal`; generated schemas note it.

    Validation lets a Redacted pass whatever the field's type, and makes one of the text that it becomes in JSON.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.literal_schema([str(REDACTED), str(SEALED)])
        again = core_schema.no_info_after_validator_function(Redacted, written)
        return core_schema.union_schema([core_schema.is_instance_schema(Redacted), again, handler(source)], mode="left_to_right")

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        plain: Any = schema["choices"][-1] if schema["type"] == "union" else schema
        return {**handler(plain), "$comment": "personal: sealed with the key of the event's subject"}


class SubjectMark:
    """The mark under `Subject`."""


PERSONAL: Final = PersonalMark()
SUBJECT: Final = SubjectMark()

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    Personal: TypeAlias = Annotated[T | Redacted, "personal"]
    Subject: TypeAlias = Annotated[T, "subject"]
else:
    Personal = Annotated[T, PERSONAL]
    Subject = Annotated[T, SUBJECT]
