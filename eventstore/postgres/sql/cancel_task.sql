-- Cancel a task that nobody has begun; one that was begun may have happened already.
UPDATE eventstore.task SET state = 'cancelled', ended_at = clock_timestamp(), data = '{}'
WHERE task_id = %s AND state = 'waiting' AND attempts = 0
RETURNING task_id
