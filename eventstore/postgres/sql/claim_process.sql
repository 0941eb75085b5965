-- Become the owner of a process if its lease ran out by this server's clock, or is ours: a new epoch fences whoever had it.
INSERT INTO eventstore.process AS p (name, owner, xid, sequence, lease_until)
VALUES (%(name)s, %(owner)s, %(xid)s, %(sequence)s, clock_timestamp() + make_interval(secs => %(lease_s)s))
ON CONFLICT (name) DO UPDATE
SET epoch = p.epoch + 1, owner = excluded.owner, lease_until = excluded.lease_until, updated_at = clock_timestamp()
WHERE p.lease_until < clock_timestamp() OR p.owner = excluded.owner
RETURNING epoch, xid, sequence
