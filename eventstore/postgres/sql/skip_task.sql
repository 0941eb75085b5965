-- Give a failed task up for good; the row stays with its reason.
UPDATE eventstore.task SET state = 'cancelled', ended_at = clock_timestamp(), data = '{}' WHERE task_id = %s AND state = 'failed'
RETURNING task_id
