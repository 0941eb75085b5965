-- One round trip records a group of appends, each whole or not at all; ids as an array and the rest as JSON, the cheapest to send.
SELECT part, code, version, xid, position, detail FROM eventstore.append_v2(%s::json, %s::uuid[], %s::json, %s::json)
