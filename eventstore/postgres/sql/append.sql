-- One round trip records all events or none; ids as an array and the rest as one JSON document, the cheapest form to send.
SELECT last_version, last_xid, last_position FROM eventstore.append_v1(%s, %s, %s::uuid[], %s::json)
