"""Read models of tables of which a connector sends only some columns, under keys of its owner's choice, with shapes."""

from dataclasses import dataclass

from cdc import CapturedTable, Change
from projections import Projection, Projections

SHAPES = ("spot", "edge", "part", "area", "way", "walk", "field", "ring")
SCHEMA = """
CREATE TABLE sketch (
    id integer PRIMARY KEY, secret text, spot point, edge line, part lseg, area box, way path, walk path, field polygon, ring circle
);
CREATE TABLE badge (id integer PRIMARY KEY, code text NOT NULL UNIQUE, name text, pin text);
CREATE TABLE visit (id integer PRIMARY KEY, visitor text NOT NULL);
ALTER TABLE badge REPLICA IDENTITY FULL;
ALTER TABLE visit REPLICA IDENTITY FULL"""
ROWS = """
INSERT INTO sketch VALUES
    (1, 'a', '(1.5,-2.25)', '{1,-1,0.1}', '[(0,0),(1,1)]', '(0,0),(2,1e-7)', '[(0,0),(1,1),(2,0)]', '((0,0),(1e20,1),(2,0))',
     '((0,0),(1,1),(2,0),(0,0))', '<(1,2),0.3>'),
    (2, 'b', '(8,8)', '{0,1,2}', '[(0.1,0.2),(0.3,-0)]', '(5,5),(4,4)', '((1,1))', '[(1,1)]', '((1,1),(2,2))', '<(0,0),0>');
INSERT INTO sketch (id) VALUES (3);
INSERT INTO badge VALUES (1, 'one', 'Ada', '1234'), (2, 'two', 'Bo', NULL), (3, 'three', NULL, '99');
INSERT INTO visit VALUES (1, 'Ada'), (2, 'Ada')"""
LISTS = (
    '"column.exclude.list" = "public.sketch.secret,public.badge.id"\n',
    '"column.include.list" = "public.sketch.(?!secret).*,public.badge.[cnp].*,public.visit.*"\n',
)
OPTIONS = """
"message.key.columns" = "public.badge:code;(.*).visit:visitor"
"column.mask.with.3.chars" = "public.badge.pin"
"""


@dataclass(slots=True)
class Drawing:
    id: int
    shapes: str
    columns: str


@dataclass(slots=True)
class Holder:
    code: str
    name: str | None
    pin: str | None
    columns: str


@dataclass(slots=True)
class Caller:
    visitor: str


sketches = Projection("sketches")
drawings = sketches.table(Drawing, key="id")
holders = sketches.table(Holder, key="code")
callers = sketches.table(Caller, key="visitor")


@drawings.on_change(CapturedTable("operations", "public.sketch"))
def draw(change: Change, row: Drawing | None) -> Drawing | None:
    new = change.after
    return new and Drawing(new["id"], " ".join(str(new[each]) for each in SHAPES), " ".join(new))


@holders.on_change(CapturedTable("operations", "public.badge", full=True))
def hold(change: Change, row: Holder | None) -> Holder | None:
    new = change.after
    return new and Holder(change.key[0], new["name"], new["pin"], " ".join(new))


@callers.on_change(CapturedTable("operations", "public.visit", full=True))
def call(change: Change, row: Caller | None) -> Caller | None:
    return change.after and Caller(change.key[0])


app = Projections(sketches)
