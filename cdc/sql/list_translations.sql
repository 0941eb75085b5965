-- where every translation that ever ran stands, and why one stands still
SELECT name, topic, partition, next_offset, owner, updated_at, reason
FROM eventstore.translation
ORDER BY name, topic, partition
