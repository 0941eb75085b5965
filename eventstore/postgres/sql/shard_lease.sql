-- Ends this session, and frees its locks, when its process falls silent: stopped, cut off or hung. Others see who it is.
SELECT set_config('idle_session_timeout', %s, false), set_config('application_name', %s, false)
