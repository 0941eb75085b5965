"""Projections: read models folded from events and changes, versioned, and served while they are rebuilt."""

from projections.projection import Projection
from projections.registry import Projections
from projections.table import Table

__all__ = ["Projection", "Projections", "Table"]
