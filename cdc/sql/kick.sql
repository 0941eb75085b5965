-- a transactional message: proves the way through the slot, and frees a connector that searches for its resume position
select (pg_logical_emit_message(true, %(prefix)s, %(content)s) - '0/0'::pg_lsn)::bigint
