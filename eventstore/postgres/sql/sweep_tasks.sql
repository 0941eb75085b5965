-- Forget what ended long ago. A swept task's id may be used again, but the event that it recorded still can't be doubled.
DELETE FROM eventstore.task
WHERE state IN ('done', 'cancelled') AND ended_at < clock_timestamp() - make_interval(secs => %s)
