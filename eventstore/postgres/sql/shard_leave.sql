-- Free every shard and make the session what it was, for its next borrower.
SELECT pg_advisory_unlock_all(), set_config(s.name, s.reset_val, false)
FROM pg_settings AS s WHERE s.name IN ('idle_session_timeout', 'application_name')
