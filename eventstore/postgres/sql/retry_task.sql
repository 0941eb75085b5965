-- Let a failed task be tried once more, because a person says so; attempts goes on counting, since it fences old workers.
UPDATE eventstore.task SET state = 'waiting', retry_at = NULL, ended_at = NULL, repeatable = true
WHERE task_id = %s AND state = 'failed'
RETURNING task_id
