-- The state of a stream that this fold reached last, unless it is beyond the version asked for.
SELECT stream, fingerprint, version, event_id, kinds, state, checksum
FROM eventstore.snapshot
WHERE stream = %s AND fingerprint = %s AND version <= %s
