-- Which event is the n-th of its type and version on a page of a rehearsal; the conditions are those of rehearsal_page.sql.
SELECT e.stream, e.version, e.xid::text::bigint, e.position
FROM eventstore.event AS e
WHERE (e.xid, e.position) > (%(xid)s::text::xid8, %(position)s::bigint)
    AND (e.xid, e.position) <= (%(last_xid)s::text::xid8, %(last_position)s::bigint)
    AND e.type = %(type)s AND e.schema_version = %(version)s AND hashint8(e.position) & 65535 < %(share)s
ORDER BY e.xid, e.position
LIMIT 1 OFFSET %(nth)s
