-- Write tasks down; one that is known already stays as it is, whatever became of it. Times are this server's.
INSERT INTO eventstore.task
    (task_id, kind, name, data, schema_version, lane, due_at, process, instance, timer, cause, metadata, repeatable)
SELECT t.id, t.kind, t.name, t.data, t.schema_version, t.lane,
    coalesce(t.due, clock_timestamp()) + make_interval(secs => t.after), t.process, t.instance, t.timer, t.cause, t.metadata,
    t.repeatable
FROM ROWS FROM (json_to_recordset(%s::json) AS (
    id uuid, kind text, name text, data jsonb, schema_version integer, lane text, due timestamptz, after double precision,
    process text, instance text, timer text, cause uuid, metadata jsonb, repeatable boolean
)) WITH ORDINALITY AS t (
    id, kind, name, data, schema_version, lane, due, after, process, instance, timer, cause, metadata, repeatable, n
)
ORDER BY t.n
ON CONFLICT (task_id) DO NOTHING
