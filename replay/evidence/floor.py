"""What a generation knows of rows that went without a word, because a snapshot of their whole table no longer held them.

In a topic of several partitions a snapshot ends in each at another moment. When all had come past it is written down with the marks, and
nowhere else; a log that is read once more does not tell.
"""

from __future__ import annotations

from eventstore.postgres.engine import Connection
from eventstore.settings import KafkaSettings
from projections.control.generation import Generation
from projections.declaration.projection import Projection
from projections.feeding.deriving import name_topics
from projections.fold.sheet import Sheet
from projections.order.epoch import History, Order
from projections.order.mark import HISTORY
from projections.readmodels.postgres import ReadModel


async def read_floors(
    connection: Connection, projection: Projection, generation: Generation, kafka: KafkaSettings
) -> dict[str, tuple[Order, int]]:
    """Give the floor of each captured topic of several partitions, in the caller's transaction. The code must be the generation's own."""
    topics = name_topics(projection, kafka, generation.topics)
    found: dict[str, tuple[Order, int]] = {}
    read_model = ReadModel(projection, generation.schema_name)
    for source, table in projection.marks.items():
        topic = topics[source]
        if (count := generation.topics.get(topic, 1)) < 2:
            continue
        sheet = Sheet(table, complete=False)
        await read_model.load(connection, sheet, [HISTORY])
        mark = sheet.rows[HISTORY]
        if mark is not None and mark.row is not None:
            history = History.read(mark.row, count)
            found[topic] = history.floor, history.floor_at
    return found
