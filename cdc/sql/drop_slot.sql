-- only a slot that no one reads; PostgreSQL refuses an active one anyway
select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %(slot)s and not active
