-- Set a timeout aside that its process can't react to; a person may have it tried again.
UPDATE eventstore.task SET state = 'failed', ended_at = clock_timestamp(), attempts = attempts + 1, reason = %s WHERE task_id = %s
