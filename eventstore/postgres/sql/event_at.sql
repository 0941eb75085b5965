-- Which event lies at a position.
SELECT event_id::text FROM eventstore.event WHERE xid = %s::text::xid8 AND position = %s
