-- Every link beside its event, both in the order of their primary keys, so that memory does not grow with the store. A link is
-- checked against the stored one before it: then a changed event breaks its own link and no later one.
WITH part AS (
    SELECT s.name AS stream, s.version AS last,
        EXISTS (SELECT FROM eventstore.chained AS k WHERE k.complete AND starts_with(s.name, k.prefix)) AS complete
    FROM eventstore.stream AS s
    WHERE (%(stream)s::text IS NULL OR s.name = %(stream)s::text)
        AND EXISTS (SELECT FROM eventstore.chained AS k WHERE starts_with(s.name, k.prefix))
), pair AS (
    SELECT c.stream, c.version, c.hash, lag(c.version) OVER w AS before, lag(c.hash) OVER w AS link, e.version IS NULL AS gone,
        eventstore.content_v1(
            e.stream, e.version, e.event_id, e.type, e.schema_version, e.data, e.metadata, e.tags, e.occurred_at, e.recorded_at
        ) AS content
    FROM eventstore.chain AS c LEFT JOIN eventstore.event AS e ON e.stream = c.stream AND e.version = c.version
    WHERE %(stream)s::text IS NULL OR c.stream = %(stream)s::text
    WINDOW w AS (PARTITION BY c.stream ORDER BY c.version)
), judged AS (
    SELECT p.stream, p.version, true AS linked, CASE
        WHEN p.gone OR q.stream IS NULL THEN 'deleted'
        WHEN p.version <> coalesce(p.before, CASE WHEN q.complete THEN 0 ELSE p.version - 1 END) + 1 THEN 'gap'
        WHEN p.hash <> eventstore.link_v1(NULL, p.link, p.content) THEN 'changed'
    END AS fault
    FROM pair AS p LEFT JOIN part AS q ON q.stream = p.stream
    UNION ALL
    SELECT e.stream, e.version, false, CASE
        WHEN q.complete OR EXISTS (SELECT FROM eventstore.chain AS c WHERE c.stream = e.stream AND c.version < e.version) THEN 'added'
    END
    FROM eventstore.event AS e JOIN part AS q ON q.stream = e.stream
    WHERE NOT EXISTS (SELECT FROM eventstore.chain AS c WHERE c.stream = e.stream AND c.version = e.version)
), streams AS (
    SELECT j.stream, count(*) FILTER (WHERE j.linked) AS links, max(j.version) AS last,
        (array_agg(json_build_object('stream', j.stream, 'version', j.version, 'fault', j.fault) ORDER BY j.version)
            FILTER (WHERE j.fault IS NOT NULL))[1] AS broken
    FROM judged AS j GROUP BY j.stream
), verdict AS (
    SELECT coalesce(s.links, 0) AS links, coalesce(s.stream, q.stream) AS stream, coalesce(s.broken, CASE
        WHEN coalesce(s.last, 0) < q.last THEN json_build_object('stream', q.stream, 'version', coalesce(s.last, 0) + 1, 'fault', 'cut')
    END) AS broken
    FROM streams AS s FULL JOIN part AS q ON q.stream = s.stream
)
SELECT count(*) FILTER (WHERE links > 0), coalesce(sum(links), 0)::bigint, count(broken),
    (SELECT json_agg(b.broken) FROM (SELECT v.broken FROM verdict AS v WHERE v.broken IS NOT NULL ORDER BY v.stream LIMIT %(shown)s) AS b)
FROM verdict
