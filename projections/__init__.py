"""Projections: read models folded from events and changes, versioned, and served while they are rebuilt."""

from projections.aggregate import Aggregate, Count, Distinct, First, Last, Max, Min, Sum
from projections.effect import Attempt
from projections.grouping import Day, Hour, Month
from projections.projection import Projection
from projections.registry import Projections
from projections.sink import Postgres, Search, Sink, Valkey
from projections.table import Table

__all__ = [
    "Aggregate",
    "Attempt",
    "Count",
    "Day",
    "Distinct",
    "First",
    "Hour",
    "Last",
    "Max",
    "Min",
    "Month",
    "Postgres",
    "Projection",
    "Projections",
    "Search",
    "Sink",
    "Sum",
    "Table",
    "Valkey",
]
