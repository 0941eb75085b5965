"""Rows of the tables that connector operations captures. Written by `cdc types`: change the tables, not this."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, NotRequired, TypedDict

from cdc import CapturedTable
from cdc.change import Beyond, Infinity, Unchanged


class PublicOrder(TypedDict):
    """A row of public.order."""

    id: Annotated[int, "integer not null"]
    total: Annotated[Decimal | None, "numeric(10,2)"]
    note: Annotated[str | Unchanged | None, "text"]
    tags: Annotated[list[str | None], "text[] not null"]
    seen: Annotated[datetime | Infinity | Beyond, "timestamp with time zone not null"]
    double: NotRequired[Annotated[int, "integer not null"]]


OrderLines = TypedDict(
    "OrderLines",
    {
        "order id": Annotated[int, "integer not null"],
        "class": Annotated[str, "mood not null"],
    },
)
"""A row of public.order-lines."""


class SalesOrder(TypedDict):
    """A row of sales.order."""

    data: Annotated[Any, "jsonb"]


PUBLIC_ORDER: Final = CapturedTable("operations", "public.order", row=PublicOrder, columns={"total": "numeric(10,2)"})
ORDER_LINES: Final = CapturedTable("operations", "public.order-lines", row=OrderLines)
SALES_ORDER: Final = CapturedTable("operations", "sales.order", row=SalesOrder)
