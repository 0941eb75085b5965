"""ETags: two equal ones stand for equal answers to one address, so that an unchanged page is neither queried nor sent again.

An ETag is made of the state of the read models in the request's own snapshot, the tenant, the app's release, and the headers by which
an answer may differ, cookies included: one browser that is used by two people must not show the one what the other saw. Pure.
"""

from __future__ import annotations

import hashlib
import re

from starlette.requests import Request

from projections.web.policy import VARYING

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def make_etag(state: str, release: str, tenant: str | None, request: Request, cookie: str) -> str:
    """Make the ETag of an answer; *cookie*, our own, changes with each write and is left out."""
    told = [request.headers.get(each, "") for each in VARYING if each != "cookie"]
    cookies = [f"{name}={value}" for name, value in sorted(request.cookies.items()) if name != cookie]
    parts = [state, release, tenant or "", *told, *cookies]
    digest = hashlib.sha256("\0".join(f"{len(each)}:{each}" for each in parts).encode("utf-8", "surrogateescape"))
    return f'W/"{digest.hexdigest()[:32]}"'


def is_known(request: Request, etag: str) -> bool:
    """Say whether the client has the answer with *etag* already: RFC 9110 section 13.1.2, by weak comparison."""
    if request.method not in {"GET", "HEAD"}:
        return False
    told = request.headers.get("if-none-match", "")
    return told.strip() == "*" or etag.removeprefix("W/") in {each.removeprefix("W/") for each in _TAG.findall(told)}
