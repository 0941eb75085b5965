-- Take due tasks for a while: the first of each lane, unless somebody else has it. A lease that ran out by this server's clock is
-- free again; attempts then fences who had it.
UPDATE eventstore.task AS t
SET lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s), holder = %(holder)s, attempts = t.attempts + 1
WHERE t.task_id IN (
    SELECT c.task_id
    FROM eventstore.task AS c
    WHERE c.state = 'waiting' AND c.kind <> 'timeout' AND c.due_at <= clock_timestamp()
        AND (c.retry_at IS NULL OR c.retry_at <= clock_timestamp())
        AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
        AND NOT EXISTS (
            SELECT FROM eventstore.task AS b
            WHERE b.state = 'waiting' AND b.lane = c.lane AND (b.due_at, b.seq) < (c.due_at, c.seq)
        )
    ORDER BY c.due_at, c.seq
    LIMIT %(most)s
    FOR UPDATE OF c SKIP LOCKED
)
RETURNING t.task_id, t.kind, t.name, t.data::text, t.schema_version, t.lane, t.process, t.instance, t.cause, t.metadata::text,
    t.repeatable, t.attempts
