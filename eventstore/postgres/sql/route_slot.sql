-- Keep what is announced from now on for the connector; nothing when the slot is there already.
SELECT pg_create_logical_replication_slot(%s, 'pgoutput')
WHERE NOT EXISTS (SELECT FROM pg_replication_slots AS s WHERE s.slot_name = %s)
