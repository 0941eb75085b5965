-- Keep the newer of two snapshots, and drop those of other folds that nobody has renewed for a day: they are of releases gone by.
WITH swept AS (
    DELETE FROM eventstore.snapshot AS s
    WHERE s.stream = %(stream)s AND s.fingerprint <> %(fingerprint)s AND s.taken_at < clock_timestamp() - interval '1 day'
)
INSERT INTO eventstore.snapshot AS s (stream, fingerprint, version, event_id, kinds, state, checksum)
VALUES (%(stream)s, %(fingerprint)s, %(version)s, %(event_id)s, %(kinds)s::jsonb, %(state)s, %(checksum)s)
ON CONFLICT (stream, fingerprint) DO UPDATE
SET version = excluded.version, event_id = excluded.event_id, kinds = excluded.kinds, state = excluded.state,
    checksum = excluded.checksum, taken_at = clock_timestamp()
WHERE s.version < excluded.version
