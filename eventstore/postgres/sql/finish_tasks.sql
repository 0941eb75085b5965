-- Cross off what was carried out, as far as the lease was not taken over. The row stays as a ledger entry; its data is let go.
UPDATE eventstore.task AS t
SET state = 'done', ended_at = clock_timestamp(), lease_until = NULL, data = '{}', reason = NULL
FROM unnest(%s::uuid[], %s::integer[]) AS d (task_id, attempts)
WHERE t.task_id = d.task_id AND t.attempts = d.attempts AND t.state = 'waiting'
