"""Copies of read models in sinks: one table's rows of one generation, kept level with the generation's own tables."""

from projections.copies.face import follow, show_live
from projections.copies.group import Comparison, Copies, opened_copies
from projections.copies.look import describe_copies, drop_copies

__all__ = ["Comparison", "Copies", "describe_copies", "drop_copies", "follow", "opened_copies", "show_live"]
