-- Where the event of an id lies.
SELECT stream, version FROM eventstore.event WHERE event_id = %s
