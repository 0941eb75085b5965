"""The ceiling: a bare loop of stock aiokafka and orjson that adds up one number and writes nothing."""

import gc
import json
import sys
import time

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition


async def measure(bootstrap: str, topic: str, partitions: int) -> dict[str, float]:
    """Read *topic* from offset zero to its end and give records per second and the sum."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False)
    await consumer.start()
    wanted = [TopicPartition(topic, number) for number in range(partitions)]
    consumer.assign(wanted)
    for each in wanted:
        consumer.seek(each, 0)
    ends = await consumer.end_offsets(wanted)
    loads, cents, count, started = orjson.loads, 0, 0, time.perf_counter()
    while any([await consumer.position(each) < ends[each] for each in wanted]):
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                cents += loads(record.value)["data"]["cents"]
            count += len(records)
    rate = count / (time.perf_counter() - started)
    await consumer.stop()
    return {"rate": rate, "cents": cents}


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    print(json.dumps(uvloop.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
