"""A registry of Avro schemas, Confluent's or Apicurio's, asked by reference.

A reader of the log is an ordinary function, so this asks without a loop: once for each schema, for milliseconds.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

import httpx

from cdc.connect.settings import RegistrySettings
from eventstore.codec import decode
from eventstore.errors import RefoldError, UndecodableRecord, Unreachable

_PATHS = {
    "id": "/schemas/ids/{0}",
    "guid": "/schemas/guids/{0}",
    "globalId": "/ids/globalIds/{0}",
    "contentId": "/ids/contentIds/{0}",
}
_NOT_FOUND = 404


class Registry:
    """The registry at REFOLD_REGISTRY_URL; for Apicurio that ends in `/apis/registry/v2` or `v3`."""

    def __init__(self, settings: RegistrySettings | None = None) -> None:
        self._settings = settings or RegistrySettings()

    def find(self, kind: str, value: str) -> Any:
        """Give the Avro schema whose id of this *kind* is *value*, with those that it refers to in it.

        *kind*: `id`, `guid` (Confluent), `globalId`, `contentId` (Apicurio). Raises UndecodableRecord when there is none, Unreachable.
        """
        with self._open() as http:
            document = self._ask(http, _PATHS[kind].format(quote(value)))
            if kind in ("globalId", "contentId"):
                return document
            return self._resolve(http, cast("dict[str, Any]", document))

    def _open(self) -> httpx.Client:
        chosen = self._settings
        secret = chosen.password.get_secret_value() if chosen.password else ""
        headers = {"Authorization": f"Bearer {chosen.token.get_secret_value()}"} if chosen.token else {}
        auth = httpx.BasicAuth(chosen.username, secret) if chosen.username else None
        return httpx.Client(base_url=chosen.url, timeout=chosen.timeout_s, headers=headers, auth=auth, trust_env=False)

    def _resolve(self, http: httpx.Client, document: dict[str, Any]) -> Any:
        """Put the schemas that *document* refers to in place of their names."""
        found: Any = decode(document["schema"])
        for each in document.get("references") or ():
            path = f"/subjects/{quote(each['subject'], safe='')}/versions/{each['version']}"
            inner = self._resolve(http, cast("dict[str, Any]", self._ask(http, path)))
            found = _replace(found, each["name"], inner, [])
        return found

    def _ask(self, http: httpx.Client, path: str) -> Any:
        try:
            answer = http.get(path)
        except httpx.HTTPError as error:
            raise self._unreachable(str(error)) from error
        if answer.status_code == _NOT_FOUND:
            raise UndecodableRecord(
                f"the registry at {self._settings.address} has nothing at {path}: is it the one that the connector writes to?"
            )
        if answer.status_code >= 500:
            raise self._unreachable(f"{answer.status_code} {answer.text[:100]!r}")
        if not answer.is_success:
            raise RefoldError(
                f"the registry at {self._settings.address} refused {path}: {answer.status_code} {answer.text[:200]!r}"
            )
        return decode(answer.content)

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"the schema registry at {self._settings.address} does not answer: {reason}. Start it or set REFOLD_REGISTRY_URL.",
            url=self._settings.address,
        )


def _replace(avro: Any, name: str, inner: Any, done: list[bool]) -> Any:
    """Put *inner* where *name* first stands as a type; later ones may name it, since it is declared by then."""
    if isinstance(avro, str):
        if avro == name and not done:
            done.append(True)
            return inner
        return avro
    if isinstance(avro, list):
        return [_replace(each, name, inner, done) for each in cast("list[Any]", avro)]
    given = dict(cast("dict[str, Any]", avro))
    for part in ("type", "items", "values"):
        if part in given:
            given[part] = _replace(given[part], name, inner, done)
    if "fields" in given:
        given["fields"] = [_replace(each, name, inner, done) for each in given["fields"]]
    return given
