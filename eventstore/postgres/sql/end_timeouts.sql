-- Cross off timeouts that their process has reacted to.
UPDATE eventstore.task SET state = 'done', ended_at = clock_timestamp(), attempts = 1, data = '{}' WHERE task_id = ANY (%s)
