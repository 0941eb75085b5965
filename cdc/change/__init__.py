"""Changes: what Debezium's records say, as Python values. Pure; reads no network."""

from cdc.change.boundary import Boundary, read_boundary
from cdc.change.change import Change, Op, Origin, Row
from cdc.change.declared import Modes
from cdc.change.decode import Decoder
from cdc.change.interval import Interval
from cdc.change.range import Range
from cdc.change.sentinel import UNCHANGED, Beyond, Infinity, Unchanged
from cdc.change.shape import Box, Circle, Geometry, Line, Path, Point

__all__ = [
    "UNCHANGED",
    "Beyond",
    "Boundary",
    "Box",
    "Change",
    "Circle",
    "Decoder",
    "Geometry",
    "Infinity",
    "Interval",
    "Line",
    "Modes",
    "Op",
    "Origin",
    "Path",
    "Point",
    "Range",
    "Row",
    "Unchanged",
    "read_boundary",
]
