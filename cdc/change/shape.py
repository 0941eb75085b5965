"""PostgreSQL's geometric types, from the structs and well-known binary that Debezium sends.

`str()` of each is PostgreSQL's own text form. PostGIS values stay well-known binary with their srid: reading those is the
business of a geometry library.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

from cdc.change.number import read_bytes

TEXTS = frozenset({"point", "circle", "line", "lseg", "box", "path", "polygon", "geometry", "geography"})
"""Types of which `parse_shape` reads the text form."""

_POINTS, _RINGS = 2, 3  # well-known binary: a line string, a polygon
_SRID = 0x20000000  # PostGIS's flag for a reference system that follows the type
_NUMBER = re.compile(r"[^][(){}<>,\s]+")


class Point(NamedTuple):
    """A point of the plane."""

    x: float
    y: float

    def __str__(self) -> str:
        return f"({_write(self.x)},{_write(self.y)})"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its upper right and lower left corners."""

    high: Point
    low: Point

    def __str__(self) -> str:
        return f"{self.high},{self.low}"


@dataclass(frozen=True, slots=True)
class Path:
    """Points joined by lines: a segment, an open path, or a closed one (a polygon when *filled*)."""

    points: tuple[Point, ...]
    closed: bool
    kind: str = "path"

    def __str__(self) -> str:
        left, right = "()" if self.closed else "[]"
        return left + ",".join(map(str, self.points)) + right


@dataclass(frozen=True, slots=True)
class Circle:
    """All points at most *radius* from *center*."""

    center: Point
    radius: float

    def __str__(self) -> str:
        return f"<{self.center},{_write(self.radius)}>"


@dataclass(frozen=True, slots=True)
class Line:
    """The infinite line ax + by + c = 0."""

    a: float
    b: float
    c: float

    def __str__(self) -> str:
        return f"{{{_write(self.a)},{_write(self.b)},{_write(self.c)}}}"


@dataclass(frozen=True, slots=True)
class Geometry:
    """A PostGIS value as well-known binary."""

    wkb: bytes
    srid: int | None


def read_point(value: dict[str, Any]) -> Point:
    """Read a point struct."""
    return Point(float(value["x"]), float(value["y"]))


def read_circle(value: dict[str, Any]) -> Circle:
    """Read a circle struct."""
    return Circle(read_point(value["center"]), float(value["radius"]))


def read_line(value: dict[str, Any]) -> Line:
    """Read a line struct."""
    return Line(float(value["a"]), float(value["b"]), float(value["c"]))


def read_geometry(value: dict[str, Any]) -> Box | Path | Geometry:
    """Read a geometry struct: one of PostgreSQL's own types when *extensions* names it, else PostGIS."""
    wkb = read_bytes(value["wkb"])
    extensions: dict[str, str] = value.get("extensions") or {}
    kind = extensions.get("type")
    if kind is None:
        return Geometry(wkb, value.get("srid"))
    points = _points(wkb)
    if kind == "box":
        return Box(
            Point(max(p.x for p in points), max(p.y for p in points)), Point(min(p.x for p in points), min(p.y for p in points))
        )
    if kind == "polygon":
        return Path(_open_ring(points), closed=True, kind=kind)
    return Path(points, closed=extensions.get("closed") == "true", kind=kind)


def parse_shape(kind: str, text: str) -> Any:
    """Make of PostgreSQL's text form of a *kind* in `TEXTS` what a record's struct gives; of PostGIS's, which is hexadecimal."""
    if kind in ("geometry", "geography"):
        return _parse_postgis(bytes.fromhex(text))
    numbers = [float(each) for each in _NUMBER.findall(text)]
    if kind == "line":
        return Line(*numbers)
    if kind == "circle":
        return Circle(Point(*numbers[:2]), numbers[2])
    points = tuple(Point(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True))
    if kind == "point":
        return points[0]
    if kind == "box":
        return Box(*points)
    closed = kind == "polygon" or (kind == "path" and text.startswith("("))
    return Path(_open_ring(points) if kind == "polygon" else points, closed, kind)


def _parse_postgis(wkb: bytes) -> Geometry:
    order = "<" if wkb[0] else ">"
    (flags,) = struct.unpack_from(f"{order}I", wkb, 1)
    return Geometry(wkb, struct.unpack_from(f"{order}i", wkb, 5)[0] if flags & _SRID else None)


def _open_ring(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Leave out a last point that says the first again: well-known binary closes each ring, and can't tell who said it."""
    return points[:-1] if len(points) > 1 and points[0] == points[-1] else points


def _points(wkb: bytes) -> tuple[Point, ...]:
    order, kind = struct.unpack_from("<BI", wkb)
    if order != 1 or kind not in (_POINTS, _RINGS):
        raise ValueError(f"well-known binary of byte order {order} and type {kind} is none of PostgreSQL's geometric types")
    start = 5 if kind == _POINTS else 9
    (count,) = struct.unpack_from("<I", wkb, start)
    flat = struct.unpack_from(f"<{2 * count}d", wkb, start + 4)
    return tuple(Point(*pair) for pair in zip(flat[::2], flat[1::2], strict=True))


def _write(value: float) -> str:
    return repr(value).removesuffix(".0")
