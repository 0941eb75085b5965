-- say why a translation stands still, and at which record, while its partition is ours
UPDATE eventstore.translation
SET reason = %(reason)s, blocked = %(blocked)s, updated_at = clock_timestamp()
WHERE name = %(name)s AND topic = %(topic)s AND partition = %(partition)s AND epoch = %(epoch)s
