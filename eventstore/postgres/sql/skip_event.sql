-- Pass over the event that a process stands still before; the new epoch makes its owner look again where it is.
UPDATE eventstore.process
SET xid = split_part(blocked, '.', 1)::bigint, sequence = split_part(blocked, '.', 2)::bigint, epoch = epoch + 1, reason = NULL,
    blocked = NULL, updated_at = clock_timestamp()
WHERE name = %s AND blocked IS NOT NULL
RETURNING xid, sequence
