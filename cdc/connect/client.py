"""Kafka Connect's REST interface, as it behaves and not only as it is documented.

Requests are repeated while the cluster boots or rebalances, for at most `patience_s`. A write whose outcome is unknown is
repeated when it is idempotent (all but POST /connectors) and read back when it is not. A missing connector is None or False,
not an error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast

import httpx

from cdc.connect.config import PLUGIN, compare_config
from cdc.connect.retry import Verdict, backoff_s, judge
from cdc.connect.settings import ConnectSettings
from cdc.connect.state import ConnectorState
from eventstore.codec import decode, encode
from eventstore.errors import PreconditionFailed, RefoldError, UndecodableRecord, Unreachable, UsageError

_NOT_FOUND, _BAD_REQUEST, _CONFLICT = 404, 400, 409


class _Unknown(Exception):
    """The request may or may not have been carried out."""


class ConnectClient:
    """A Connect cluster. Use as `async with ConnectClient() as connect`. Raises Unreachable when no worker answers."""

    def __init__(self, settings: ConnectSettings | None = None) -> None:
        self._settings = settings or ConnectSettings()
        timeout = httpx.Timeout(self._settings.read_timeout_s, connect=self._settings.connect_timeout_s)
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        self._http = httpx.AsyncClient(base_url=self._settings.url, timeout=timeout, headers=headers, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def read_version(self) -> str:
        """Give the worker's version; also the way to learn whether it answers."""
        return str((await self._ask("GET", "/"))["version"])

    async def list_connectors(self) -> dict[str, tuple[ConnectorState, dict[str, str]]]:
        """Give every connector's state and configuration, whatever rebalance goes on; one that has no status yet is UNASSIGNED.

        Asked for both at once, Connect leaves out who has no status, as in the first moment after a connector was made.
        """
        told: dict[str, Any] = await self._ask("GET", "/connectors?expand=status")
        known: dict[str, Any] = await self._ask("GET", "/connectors?expand=info")
        states = {name: ConnectorState.read(each["status"]) for name, each in told.items()}
        return {
            name: (states.get(name, ConnectorState("UNASSIGNED", ())), each["info"]["config"]) for name, each in known.items()
        }

    async def read_state(self, name: str) -> ConnectorState | None:
        """Give the connector's and its tasks' states, None when there is none (or none yet)."""
        answer = await self._ask("GET", f"/connectors/{name}/status", missing=None)
        return None if answer is None else ConnectorState.read(answer)

    async def read_config(self, name: str) -> dict[str, str] | None:
        """Give the configuration with its references unresolved, None when there is no such connector."""
        return await self._ask("GET", f"/connectors/{name}/config", missing=None)

    async def validate(self, config: Mapping[str, str]) -> dict[str, list[str]]:
        """Let the worker check *config*; give the errors by option. Raises PreconditionFailed when the plugin is missing."""
        name = PLUGIN.rpartition(".")[2]
        try:
            answer = await self._ask("PUT", f"/connector-plugins/{name}/config/validate", dict(config))
        except RefoldError as error:
            if "Failed to find any class" in str(error) or error.facts.get("status") == _NOT_FOUND:
                raise PreconditionFailed(
                    f"the Connect worker at {self._settings.address} has no {PLUGIN}: install Debezium's PostgreSQL connector 3.7 there"
                ) from error
            raise
        values = (each["value"] for each in answer["configs"])
        return {value["name"]: value["errors"] for value in values if value["errors"]}

    async def create(self, name: str, config: Mapping[str, str], *, stopped: bool = False) -> bool:
        """Create a connector and return once Connect tells of it, which a worker may do a moment later; False = an equal one was there.

        Raises PreconditionFailed when one of that name exists with another configuration.
        """
        body = {"name": name, "config": dict(config), **({"initial_state": "STOPPED"} if stopped else {})}
        deadline, attempt, made, unsure = time.monotonic() + self._settings.patience_s, 0, False, False
        while True:
            attempt += 1
            try:
                made = made or await self._ask("POST", "/connectors", body) is not None
            except _Unknown:
                unsure = True
            except RefoldError as error:
                if error.facts.get("status") != _CONFLICT:
                    raise
            running = await self.read_config(name)
            if running is not None and not made and compare_config(running, config):
                raise PreconditionFailed(f"a connector {name} exists with another configuration; run `cdc apply` again")
            if running is not None:
                return made or unsure
            if attempt > 3 and time.monotonic() > deadline:
                raise Unreachable(f"Kafka Connect at {self._settings.address} was given {name} and tells of no such connector")
            await asyncio.sleep(backoff_s(attempt))

    async def put_config(self, name: str, config: Mapping[str, str]) -> None:
        """Create or update a connector; idempotent. Tasks are restarted only when something changed."""
        await self._ask("PUT", f"/connectors/{name}/config", dict(config))

    async def pause(self, name: str) -> bool:
        """Ask for a pause; the slot stays active. False when there is no such connector."""
        return await self._order("PUT", f"/connectors/{name}/pause")

    async def resume(self, name: str) -> bool:
        """Ask a paused or stopped connector to run. False when there is none."""
        return await self._order("PUT", f"/connectors/{name}/resume")

    async def stop(self, name: str) -> bool:
        """Ask for the end of all tasks; the slot is released and PostgreSQL keeps WAL for it. False when there is none."""
        return await self._order("PUT", f"/connectors/{name}/stop")

    async def restart(self, name: str, *, only_failed: bool = False) -> bool:
        """Restart the connector and its tasks, or those that failed. False when there is none."""
        failed = str(only_failed).lower()
        return await self._order("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed={failed}")

    async def delete(self, name: str) -> bool:
        """Delete a connector; its offsets, slot and publication stay. False when there is none."""
        return await self._order("DELETE", f"/connectors/{name}")

    async def read_offsets(self, name: str) -> list[dict[str, Any]]:
        """Give the committed source offsets; empty when there are none."""
        answer = await self._ask("GET", f"/connectors/{name}/offsets", missing={"offsets": []})
        return answer["offsets"]

    async def write_offsets(self, name: str, offsets: list[dict[str, Any]]) -> None:
        """Write source offsets of a stopped connector; Connect takes any, so check them first. Raises UsageError when it runs."""
        await self._ask("PATCH", f"/connectors/{name}/offsets", {"offsets": offsets})

    async def read_plugin(self, worker: str | None = None) -> str | None:
        """Give the version of Debezium's connector on *worker* (`host:port`, None = the one we ask), None when it has none.

        Raises Unreachable for a worker that can't be asked from here.
        """
        try:
            answer = await self._http.get("/connector-plugins" if worker is None else f"http://{worker}/connector-plugins")
            listed: Any = decode(answer.content)
        except (httpx.TransportError, UndecodableRecord) as error:
            raise self._unreachable(f"{worker}: {type(error).__name__}") from error
        return next((str(each.get("version")) for each in listed if each["class"] == PLUGIN), None)

    async def delete_offsets(self, name: str) -> bool:
        """Forget the source offsets of a stopped connector. False when there is none, or it still has tasks."""
        try:
            return await self._order("DELETE", f"/connectors/{name}/offsets")
        except UsageError:
            return False

    async def _order(self, method: str, path: str) -> bool:
        return await self._ask(method, path, missing=_NOT_FOUND) != _NOT_FOUND

    async def _ask(self, method: str, path: str, body: object = None, *, missing: Any = ...) -> Any:
        """Send one request until it is answered for good, and give the parsed body."""
        deadline = time.monotonic() + self._settings.patience_s
        attempt = 0
        while True:
            attempt += 1
            status, text, parsed = await self._send(method, path, body)
            verdict = judge(status, text, is_json=parsed is not ...)
            if verdict is Verdict.DONE:
                return parsed
            if verdict is Verdict.REFUSED:
                if status == _NOT_FOUND and missing is not ...:
                    return missing
                raise self._refuse(method, path, status, text)
            if verdict is Verdict.UNKNOWN and path == "/connectors":
                raise _Unknown
            pause = backoff_s(attempt)
            if time.monotonic() + pause > deadline:
                raise Unreachable(
                    f"Kafka Connect at {self._settings.address} answers {method} {path} with {status} {text!r:.200}"
                )
            await asyncio.sleep(pause)

    async def _send(self, method: str, path: str, body: object) -> tuple[int, str, Any]:
        """Send once; the body is Ellipsis when it was not JSON. A lost answer counts as 500 with unknown outcome."""
        try:
            answer = await self._http.request(method, path, content=None if body is None else encode(body))
        except httpx.ConnectError as error:
            raise self._unreachable(str(error)) from error
        except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise self._unreachable(f"no connection within {self._settings.connect_timeout_s:g} s") from error
        except httpx.TransportError as error:
            return 500, f"request timed out: {type(error).__name__}", None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UsageError(f"REFOLD_CONNECT_URL {self._settings.address!r} is not a URL: {error}") from error
        if not answer.content:
            return answer.status_code, "", None
        try:
            parsed: Any = decode(answer.content)
        except UndecodableRecord:
            return answer.status_code, answer.text[:200], ...
        fields = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
        return answer.status_code, str(fields.get("message", "")), cast("Any", parsed)

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"Kafka Connect at {self._settings.address} does not answer: {reason}. Start it (`refold up`) or set REFOLD_CONNECT_URL to "
            "one of its workers.",
            url=self._settings.address,
        )

    def _refuse(self, method: str, path: str, status: int, text: str) -> RefoldError:
        kind = UsageError if status == _BAD_REQUEST else RefoldError
        return kind(f"Kafka Connect refused {method} {path} ({status}): {text}", status=status)
