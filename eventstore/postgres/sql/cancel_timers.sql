-- Cancel timers by name; without a name all that an instance has.
UPDATE eventstore.task AS t
SET state = 'cancelled', ended_at = clock_timestamp(), data = '{}'
FROM unnest(%(instances)s::text[], %(timers)s::text[]) AS c (instance, timer)
WHERE t.process = %(process)s AND t.kind = 'timeout' AND t.state = 'waiting'
    AND t.instance = c.instance AND (c.timer IS NULL OR t.timer = c.timer)
