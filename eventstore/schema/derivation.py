"""The JSON Schemas of an event class: of what it writes, which is recorded, and of what it reads.

The two differ: a field with a default is always written and need not be there when read. Decimals are written as text by the
codec, so that is what their schema says, whatever release of pydantic made it.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from eventstore.errors import UsageError
from eventstore.event import EventType
from eventstore.schema.shape import Schema, follow

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def derive_written(kind: EventType) -> Schema:
    """Give the schema of what an append of this type stores. Raises UsageError for a class that has none."""
    schema = derive(kind.python, mode="serialization")
    if not issubclass(kind.python, BaseModel) and "properties" in (top := follow(schema, schema)):
        definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
        schema = {**top, "required": list(top["properties"]), **definitions}
    return {"$schema": DIALECT, **schema}


def derive_read(kind: EventType) -> Schema:
    """Give the schema of what the newest class of this type accepts. Raises UsageError for a class that has none."""
    return derive(kind.python, mode="validation")


def derive(python: Any, *, mode: Literal["validation", "serialization"]) -> Schema:
    """Give the schema of any type that pydantic or msgspec knows. Raises UsageError that names the type."""
    try:
        if hasattr(python, "__struct_fields__"):
            return sys.modules["msgspec"].json.schema(python)
        return TypeAdapter(python).json_schema(mode=mode, by_alias=mode == "validation", schema_generator=_Generator)
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
        name = getattr(python, "__qualname__", str(python))
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{name} has no JSON Schema: {reason}. Use field types that have a JSON form.") from error


class _Generator(GenerateJsonSchema):
    """Pydantic's own, but for decimals, and silent about defaults that have no JSON form."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default", "skipped-discriminator"}  # noqa: RUF012

    def decimal_schema(self, schema: Any) -> dict[str, Any]:  # noqa: ARG002
        """Text in the codec's form; when read, a number does too."""
        text: dict[str, Any] = {"type": "string", "format": "decimal"}
        if self.mode == "serialization":
            return text
        return {"anyOf": [{"type": "number"}, text]}
