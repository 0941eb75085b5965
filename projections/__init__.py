"""Projections: read models folded from events and changes, versioned, and served while they are rebuilt."""

from projections.declaration.aggregate import Aggregate, Count, Distinct, First, Last, Max, Min, Sum
from projections.declaration.effect import Attempt
from projections.declaration.grouping import Day, Hour, Month
from projections.declaration.projection import Projection
from projections.declaration.registry import Projections
from projections.declaration.sink import Postgres, Search, Sink, Valkey
from projections.declaration.table import Table

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
