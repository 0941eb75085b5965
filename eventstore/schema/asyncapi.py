"""The AsyncAPI 3.0 document of the events topic: what others need to read it without reading our code.

The topic holds every version that was ever recorded, so each type and version is a message of its own: the CloudEvents envelope
with that version's data inside. Schemas are written in the dialect that every AsyncAPI tool reads (JSON Schema draft 7).
Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from eventstore.schema.history import Recorded
from eventstore.schema.instance import make_instances
from eventstore.schema.shape import Schema, is_schema
from eventstore.settings import KafkaSettings, RelaySettings

BINDING: Final = {"bindingVersion": "0.5.0"}
_CONTENT_TYPE: Final = "application/cloudevents+json"
_ENVELOPE: Final = "cloudevent"
_LEFT_OUT: Final = ("$schema", "$defs", "discriminator", "$comment")
_SEALED: Final[Schema] = {
    "type": "object",
    "description": "Personal data, sealed with the key of the event's subject; null when it was redacted before it was recorded.",
    "required": ["$sealed"],
    "properties": {"$sealed": {"type": ["string", "null"]}},
}
_EXAMPLE: Final = {
    "specversion": "1.0",
    "id": "0190163d-8694-739b-aea5-966c26f8ad91",
    "subject": "stream-1",
    "time": "2025-01-31T12:00:00+00:00",
    "datacontenttype": "application/json",
    "streamversion": 1,
    "position": "1042.7",
    "recordedat": "2025-01-31T12:00:00.5+00:00",
}


def build_document(
    recorded: Sequence[Recorded], kafka: KafkaSettings, relay: RelaySettings, *, title: str, version: str
) -> dict[str, Any]:
    """Give the document of the events topic that carries the *recorded* types; *title* and *version* are those of the app."""
    messages = {_message_name(each): {"$ref": f"#/components/messages/{_message_name(each)}"} for each in recorded}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": "Events as they were recorded, in order within each stream, kept for ever: read them from offset zero.",
        },
        "defaultContentType": _CONTENT_TYPE,
        "servers": dict(_servers(kafka)),
        "channels": {"events": _channel(kafka, messages)},
        "operations": _operations(kafka),
        "components": {
            "messages": {_message_name(each): _message(each, relay.source) for each in recorded},
            "schemas": {_ENVELOPE: _envelope(relay.source), **_schemas(recorded)},
        },
    }


def _servers(kafka: KafkaSettings) -> Iterable[tuple[str, dict[str, Any]]]:
    secure = "SSL" in kafka.security_protocol
    for number, host in enumerate(kafka.bootstrap.split(","), 1):
        yield (
            f"kafka{number}",
            {
                "host": host.strip(),
                "protocol": "kafka-secure" if secure else "kafka",
                "description": f"Kafka, listener {kafka.security_protocol}",
            },
        )


def _channel(kafka: KafkaSettings, messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": kafka.events_topic,
        "title": "Events",
        "description": "One topic for all streams. A record's key is its stream, so a stream is in order within one partition.",
        "messages": messages,
        "bindings": {
            "kafka": {
                "topic": kafka.events_topic,
                "partitions": kafka.partitions,
                "replicas": kafka.replication,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": -1,
                    "retention.bytes": -1,
                    "max.message.bytes": kafka.max_message_bytes,
                },
                **BINDING,
            }
        },
    }


def _operations(kafka: KafkaSettings) -> dict[str, Any]:
    channel = {"$ref": "#/channels/events"}
    groups = {"type": "string", "pattern": f"^{re.escape(kafka.topic_prefix)}\\."}
    return {
        "relayEvents": {
            "action": "send",
            "channel": channel,
            "title": "Relay",
            "summary": "The relay writes what was recorded, in transactions: read committed.",
        },
        "projectEvents": {
            "action": "receive",
            "channel": channel,
            "title": "Project",
            "summary": "Projections read with a consumer group for each generation.",
            "bindings": {"kafka": {"groupId": groups, **BINDING}},
        },
    }


def _message_name(each: Recorded) -> str:
    return f"{each.type}.v{each.version}"


def _message(each: Recorded, source: str) -> dict[str, Any]:
    own = {
        "type": "object",
        "required": ["type", "schemaversion", "data"],
        "properties": {
            "type": {"const": each.type},
            "schemaversion": {"const": each.version},
            "data": {"$ref": f"#/components/schemas/{_message_name(each)}"},
        },
    }
    message: dict[str, Any] = {
        "name": each.type,
        "title": f"{each.type}, version {each.version}",
        "contentType": _CONTENT_TYPE,
        "headers": {"type": "object", "properties": {"content-type": {"const": _CONTENT_TYPE}}},
        "payload": {"allOf": [{"$ref": f"#/components/schemas/{_ENVELOPE}"}, own]},
        "bindings": {"kafka": {"key": {"type": "string", "description": "The stream."}, **BINDING}},
    }
    if summary := each.schema.get("description"):
        message["summary"] = summary
    examples = make_instances(_seal(each.schema), 1)
    if examples:
        payload = {**_EXAMPLE, "source": source, "type": each.type, "schemaversion": each.version, "data": examples[0]}
        message["examples"] = [{"payload": payload}]
    return message


def _envelope(source: str) -> Schema:
    """Give what `eventstore.log.wire` writes around the data of an event."""
    text, moment = {"type": "string"}, {"type": "string", "format": "date-time"}
    return {
        "type": "object",
        "title": "CloudEvents 1.0, structured mode",
        "required": [
            "specversion",
            "id",
            "source",
            "type",
            "subject",
            "streamversion",
            "schemaversion",
            "position",
            "recordedat",
            "data",
        ],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "format": "uuid", "description": "Equal ids are the same event."},
            "source": {"type": "string", "format": "uri-reference", "examples": [source]},
            "type": text,
            "subject": {**text, "description": "The stream."},
            "time": {**moment, "description": "When it happened."},
            "datacontenttype": {"const": "application/json"},
            "streamversion": {"type": "integer", "minimum": 1, "description": "Counts from 1 within the stream."},
            "schemaversion": {
                "type": "integer",
                "minimum": 1,
                "description": "The version of the type that data was written under.",
            },
            "position": {
                "type": "string",
                "pattern": "^[0-9]+\\.[0-9]+$",
                "description": "Orders all events of the store, as a pair of numbers.",
            },
            "recordedat": moment,
            "tags": {"type": "array", "items": text, "description": "What the event is about."},
            "metadata": {"type": "object", "description": "Travels with the event and is not part of the fact."},
            **dict.fromkeys(("traceparent", "tracestate", "correlationid", "causationid"), text),
        },
    }


def _schemas(recorded: Iterable[Recorded]) -> dict[str, Schema]:
    """Give the schemas of all data, and the classes within them, each under a name of its own."""
    made: dict[str, Schema] = {}
    for each in recorded:
        name = _message_name(each)
        sealed = _seal(each.schema)
        made[name] = _translate(sealed, name)
        for inner, schema in sealed.get("$defs", {}).items():
            made[f"{name}.{_plain(inner)}"] = _translate(schema, name)
    return made


def _seal(value: Any) -> Any:
    """Give a schema with what it marks as personal in the form that the topic carries."""
    if isinstance(value, list):
        return [_seal(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if not is_schema(value):
        return value
    if str(value.get("$comment", "")).startswith("personal"):
        return _SEALED
    return {key: _seal(each) for key, each in value.items()}


def _translate(value: Any, name: str) -> Any:
    """Turn draft 2020-12 into what AsyncAPI reads: references into the document's components, tuples as a list of items."""
    if isinstance(value, list):
        return [_translate(each, name) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if not is_schema(value):
        return value
    if "$ref" in value and isinstance(value["$ref"], str):
        inner = _plain(value["$ref"].removeprefix("#/$defs/"))
        return {"$ref": f"#/components/schemas/{name}.{inner}" if inner != "#" else f"#/components/schemas/{name}"}
    made: Schema = {}
    for key, each in value.items():
        if key == "properties" and is_schema(each):
            made[key] = {field: _translate(schema, name) for field, schema in each.items()}
        elif key not in _LEFT_OUT:
            made[key] = each if key in ("default", "const", "enum", "examples") else _translate(each, name)
    if "prefixItems" in made:
        rest = made.pop("items", True)
        made |= {"items": made.pop("prefixItems"), "additionalItems": rest}
    return made


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name) if name != "#" else name
