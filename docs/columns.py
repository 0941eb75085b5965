"""Writes docs/reference/types.md from the list that the test of every type in every mode runs on: `make docs`."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

LIST = Path(__file__).parents[1] / "tests" / "matrix" / "types.toml"
NATIVE = {"bool", "int", "float", "Decimal", "str", "bytes", "UUID", "date", "time", "datetime"}
HEAD = """# Types of captured columns
Written by `make docs` from `tests/matrix/types.toml`; do not edit.
One test makes a table with a column of each, writes it through `psql`, has Debezium capture it in seven combinations of modes, and compares
every value with what psycopg reads: as decoded by schema, as decoded by declaration, and as read back from a read model.

*In a change* is the Python type of a value under what `cdc apply` configures; NULL is `None` in every type, and an unchanged
large value is `cdc.UNCHANGED`.
*Declared as* is what `CapturedTable(columns=...)` takes for a topic without schemas.
*In a read model* is the annotation of the column that keeps it; `str` means `str(value)`, which PostgreSQL casts back.

| PostgreSQL | in a change | declared as | in a read model | to know |
|---|---|---|---|---|
"""
TAIL = """
A date or time that Python can't hold (infinity, 44 BC, the year 12024, 24:00) is `Infinity` or `Beyond`: text that PostgreSQL reads back.
A `jsonb` that holds `null` is `None`, as it is for psycopg.

## What single modes lose
What `cdc apply` configures loses nothing but what is said of a type above and in the last two lines.

| mode | what arrives |
|---|---|
| `decimal.handling.mode=precise` | NaN and infinity as NULL, unless conversions are to fail; arrays of `numeric` without last zeros |
| `decimal.handling.mode=double` | a float |
| `time.precision.mode=connect` | milliseconds |
| `time.precision.mode=nanoseconds` | timestamps before 1677-09-22 and after 2262-04-11 as NULL |
| `time.precision.mode=isostring` | 24:00 as 00:00 |
| `time.precision.mode=structured` | 24:00 as NULL; times with their offset, intervals with their months |
| `interval.handling.mode=numeric` | a duration, in which a month is 30.4375 days |
| `binary.handling.mode=base64`, `base64-url-safe` | an unchanged large `bytea` as NULL; bytes are strings to the schema: declare them |
| all, in a snapshot | dates before Christ without their era: `0044-03-15 BC` as `0044-03-15`; streamed ones are right |
| all | a polygon whose last point repeats the first without it |

Arrays of several dimensions can't be sent by Debezium: the connector fails at one, and `cdc doctor` names the column.
"""


def render() -> str:
    """Write the whole page."""
    columns = tomllib.loads(LIST.read_text("utf-8"))["columns"]
    return HEAD + "".join(_rows(columns)) + TAIL


def _rows(columns: list[dict[str, str]]) -> Iterator[str]:
    seen: set[str] = set()
    for each in columns:
        kind = each["type"].partition(" NOT NULL")[0].partition(" DEFAULT")[0]
        if kind in seen:
            continue
        seen.add(kind)
        python = each["python"]
        kept = python if python in NATIVE else "dict" if python == "dict" else "list" if python == "list" else "str"
        declared = each.get("declared") or each.get("base") or kind
        yield f"| `{kind}` | `{python}` | `{declared}` | `{kept}` | {each.get('note', '')} |\n"


if __name__ == "__main__":
    Path(__file__).with_name("reference").joinpath("types.md").write_text(render(), "utf-8")
