"""The DeleteGroups request, which aiokafka 0.14 lacks. Source: Kafka protocol, API key 42, version 0."""

from __future__ import annotations

from typing import ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String


class DeleteGroupsResponse(Response):
    """One error code a group."""

    API_KEY = 42  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    API_VERSION = 0  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    SCHEMA: ClassVar[Schema] = Schema(
        ("throttle_time_ms", Int32), ("results", Array(("group_id", String("utf-8")), ("error_code", Int16)))
    )


class DeleteGroupsVersion0(RequestStruct):
    """The names of the groups to delete."""

    API_KEY = 42
    API_VERSION = 0
    RESPONSE_TYPE = DeleteGroupsResponse
    SCHEMA: ClassVar[Schema] = Schema(("groups_names", Array(String("utf-8"))))


class DeleteGroups(Request[DeleteGroupsVersion0]):
    """Delete groups that have no members, with their committed offsets."""

    API_KEY = 42

    def __init__(self, groups: list[str]) -> None:
        self._groups = groups

    def build(self, request_struct_class: type[DeleteGroupsVersion0]) -> DeleteGroupsVersion0:
        """Give the request in the version that the broker speaks."""
        return request_struct_class(self._groups)
