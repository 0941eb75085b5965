-- Keep the states that a batch left behind; a completed instance stays, so that a late event finds it completed.
INSERT INTO eventstore.process_instance AS i (process, instance, state, completed_at)
SELECT %(process)s, n.instance, n.state, CASE WHEN n.completed THEN clock_timestamp() END
FROM unnest(%(instances)s::text[], %(states)s::jsonb[], %(completed)s::boolean[]) AS n (instance, state, completed)
ON CONFLICT (process, instance) DO UPDATE
SET state = excluded.state, completed_at = excluded.completed_at, changed_at = clock_timestamp()
