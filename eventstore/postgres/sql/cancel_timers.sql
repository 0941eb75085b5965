-- Cancel timers by name; without a name all that an instance has. One that was set aside goes too, or a retry would ring it after all.
WITH gone AS (
    SELECT c.instance, c.timer FROM unnest(%(instances)s::text[], %(timers)s::text[]) AS c (instance, timer)
), waiting AS (
    UPDATE eventstore.task AS t
    SET state = 'cancelled', ended_at = clock_timestamp(), data = '{}'
    FROM gone AS c
    WHERE t.process = %(process)s AND t.kind = 'timeout' AND t.state = 'waiting'
        AND t.instance = c.instance AND (c.timer IS NULL OR t.timer = c.timer)
)
UPDATE eventstore.task AS t
SET state = 'cancelled', ended_at = clock_timestamp(), data = '{}'
FROM gone AS c
WHERE t.process = %(process)s AND t.kind = 'timeout' AND t.state = 'failed'
    AND t.instance = c.instance AND (c.timer IS NULL OR t.timer = c.timer)
