"""One partitioner for life: Kafka's murmur2, so that Java clients agree on where a stream lies."""

from __future__ import annotations


def murmur2(data: bytes) -> int:
    """Hash *data* as `org.apache.kafka.common.utils.Utils.murmur2` does, as an unsigned 32-bit number."""
    length, mask = len(data), 0xFFFFFFFF
    hashed = (0x9747B28C ^ length) & mask
    for at in range(0, length - length % 4, 4):
        block = (int.from_bytes(data[at : at + 4], "little") * 0x5BD1E995) & mask
        block = ((block ^ (block >> 24)) * 0x5BD1E995) & mask
        hashed = ((hashed * 0x5BD1E995) & mask) ^ block
    rest = data[length - length % 4 :]
    if rest:
        hashed = ((hashed ^ int.from_bytes(rest, "little")) * 0x5BD1E995) & mask
    hashed = ((hashed ^ (hashed >> 13)) * 0x5BD1E995) & mask
    return hashed ^ (hashed >> 15)


def partition_of(stream: str, partitions: int) -> int:
    """Give the partition that holds all events of *stream* in a topic of *partitions* partitions."""
    return (murmur2(stream.encode()) & 0x7FFFFFFF) % partitions
