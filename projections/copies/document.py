"""Rows as documents of a search index: which fields an index has, and what of a row goes into them.

Only the key, the row itself and the checkpoint are stored; text and exact columns are there to be found and ordered by.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from eventstore.codec import decode, encode
from eventstore.errors import PreconditionFailed
from projections.copies.form import Texts
from projections.declaration.sink import Search, Sink

KEY: Final = "row_key"
ROW: Final = "row_texts"
TENANT: Final = "row_tenant"
STATE: Final = "row_state"
CHECKPOINT: Final = "checkpoint"


def open_library() -> Any:
    """Give tantivy. Raises PreconditionFailed without it."""
    try:
        import tantivy
    except ModuleNotFoundError as error:
        raise PreconditionFailed("a search index needs its library: pip install 'refold[search]'") from error
    return tantivy


class Documents:
    """The documents of one table's index; without a *sink*, what every index has."""

    def __init__(self, sink: Sink[Any, Search] | None) -> None:
        self.library = open_library()
        self.text = tuple(sink.place.text) if sink else ()
        self.exact = tuple(sink.place.exact) if sink else ()
        self._stemmer = f"{sink.place.language}_stem" if sink else "default"
        self._tenant = sink.table.tenant if sink else None
        self._kinds = {each: sink.table.kind(each) for each in (*self.text, *self.exact)} if sink else {}
        self._schema = self._build_schema()

    def open(self, directory: Path) -> Any:
        """Open the index in *directory*, making it if there is none."""
        return self.library.Index(self._schema, str(directory))

    def look(self, directory: Path) -> Any | None:
        """Give the index in *directory* as of its last commit; None without one."""
        if not directory.is_dir() or not self.library.Index.exists(str(directory)):
            return None
        return self.library.Index.open(str(directory))

    def lay_out(self, key: str, texts: Texts, row: Any) -> Any:
        """Make the document of *row*."""
        document = self.library.Document()
        document.add_text(KEY, key)
        if self._tenant:
            document.add_text(TENANT, texts[self._tenant])
        document.add_bytes(ROW, encode(texts))
        for name, kind in self._kinds.items():
            if (value := getattr(row, name)) is not None:
                _add_value(document, name, kind, value)
        return document

    def lay_out_state(self, state: Mapping[str, Any]) -> Any:
        """Make the document that holds the checkpoint."""
        document = self.library.Document()
        document.add_text(STATE, CHECKPOINT)
        document.add_bytes(ROW, encode(state))
        return document

    def _build_schema(self) -> Any:
        builder = self.library.SchemaBuilder()
        for name in (KEY, STATE, *([TENANT] if self._tenant else [])):
            builder.add_text_field(name, stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_bytes_field(ROW, stored=True, indexed=False)
        for name in self.text:
            builder.add_text_field(name, tokenizer_name=self._stemmer)
        for name in self.exact:
            _add_field(builder, name, self._kinds[name])
        return builder.build()


def read_state(index: Any) -> dict[str, Any] | None:
    """Give the checkpoint in *index*; None = there is none yet."""
    searcher = index.searcher()
    query = open_library().Query.term_query(index.schema, STATE, CHECKPOINT, "basic")
    hits = searcher.search(query, 1).hits
    return decode(searcher.doc(hits[0][1]).get_first(ROW)) if hits else None


def read_texts(document: Any) -> Texts:
    """Give the row's texts that *document* holds."""
    return decode(document.get_first(ROW))


def count_rows(index: Any) -> int:
    """Count the documents that are rows."""
    return max(0, index.searcher().num_docs - 1)


def _add_field(builder: Any, name: str, kind: type) -> None:
    if issubclass(kind, bool):
        builder.add_boolean_field(name, indexed=True, fast=True)
    elif issubclass(kind, int):
        builder.add_integer_field(name, indexed=True, fast=True)
    elif issubclass(kind, (float, Decimal)):
        builder.add_float_field(name, indexed=True, fast=True)
    elif issubclass(kind, date):
        builder.add_date_field(name, indexed=True, fast=True)
    else:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)


def _add_value(document: Any, name: str, kind: type, value: Any) -> None:
    if isinstance(value, list):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            document.add_text(name, str(each))  # pyright: ignore[reportUnknownArgumentType]
    elif issubclass(kind, bool):
        document.add_boolean(name, value)
    elif issubclass(kind, int):
        document.add_integer(name, value)
    elif issubclass(kind, (float, Decimal)):
        document.add_float(name, float(value))
    elif issubclass(kind, datetime):
        document.add_date(name, value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))
    elif issubclass(kind, date):
        document.add_date(name, datetime.combine(value, time(), UTC))
    else:
        document.add_text(name, str(value))
