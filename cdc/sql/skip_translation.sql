-- pass over the record that each partition of a translation stands still at; the new epoch makes its owner look again
UPDATE eventstore.translation
SET next_offset = blocked + 1, epoch = epoch + 1, reason = NULL, blocked = NULL, updated_at = clock_timestamp()
WHERE name = %(name)s AND blocked IS NOT NULL
RETURNING topic, partition, next_offset
