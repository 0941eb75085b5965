-- a session has no schema of temporary tables before its first one
CREATE TEMP TABLE IF NOT EXISTS first_of_session ()
