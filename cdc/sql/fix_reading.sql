-- values are written as text the one way that is read here, and which transactions the snapshot shows is kept
select set_config('datestyle', 'ISO, YMD', true), set_config('intervalstyle', 'iso_8601', true),
       set_config('timezone', 'UTC', true), set_config('idle_in_transaction_session_timeout', '0', true),
       pg_current_snapshot()::text, current_database()
