"""A connector in the forms that other tools read. Pure; a secret in plain text comes out as a reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from cdc.adopt import find_plain
from eventstore.codec import decode, encode


def hide_secrets(name: str, config: Mapping[str, str]) -> dict[str, str]:
    """Give *config* with a reference in the place of each secret that stands in plain text."""
    return {**config, **find_plain(config, name)}


def write_json(name: str, config: Mapping[str, str]) -> str:
    """Write what `POST /connectors` takes, and kcctl applies."""
    parts = [f"    {_quote(option)}: {_quote(value)}" for option, value in sorted(config.items())]
    return "\n".join(["{", f'  "name": {_quote(name)},', '  "config": {', ",\n".join(parts), "  }", "}"])


def write_yaml(name: str, config: Mapping[str, str]) -> str:
    """Write a KafkaConnector of Strimzi; the label names its Connect cluster, and is to be set. A JSON string is a YAML string."""
    kept = {option: value for option, value in config.items() if option not in ("connector.class", "tasks.max", "name")}
    resource = re.sub(r"[^a-z0-9.-]", "-", name.lower())
    head = (
        "apiVersion: kafka.strimzi.io/v1beta2",
        "kind: KafkaConnector",
        "metadata:",
        f"  name: {_quote(resource)}",
        "  labels:",
        '    strimzi.io/cluster: "connect"',
        "spec:",
        f"  class: {_quote(config['connector.class'])}",
        f"  tasksMax: {config.get('tasks.max', '1')}",
        "  config:",
    )
    return "\n".join([*head, *(f"    {_quote(option)}: {_quote(value)}" for option, value in sorted(kept.items()))])


def write_terraform(name: str, config: Mapping[str, str]) -> str:
    """Write a `kafka-connect_connector` of the Terraform provider; `$` is doubled, so that references reach the worker."""
    lines = [f"    {_quote(option)} = {_escape(value)}" for option, value in sorted({"name": name, **config}.items())]
    resource = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    return "\n".join(
        [f'resource "kafka-connect_connector" "{resource}" {{', f"  name = {_quote(name)}", "  config = {", *lines, "  }", "}"]
    )


FORMS: dict[str, Callable[[str, Mapping[str, str]], str]] = {
    "json": write_json,
    "strimzi": write_yaml,
    "terraform": write_terraform,
}


def _quote(value: str) -> str:
    text = encode(value).decode()
    assert decode(text) == value  # the one escape that JSON, YAML and TOML share
    return text


def _escape(value: str) -> str:
    return _quote(value).replace("${", "$${")
