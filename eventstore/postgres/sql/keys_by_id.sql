-- The keys that sealed values name, as they are wrapped.
SELECT key_id, subject, master, wrapped FROM privacy.subject_key WHERE key_id = ANY (%s)
