-- Keep the keys that were made for subjects that had none; another process may have been faster, then its key stays.
INSERT INTO privacy.subject_key (key_id, subject, master, wrapped)
SELECT key_id, subject, %s, wrapped FROM unnest(%s::uuid[], %s::text[], %s::bytea[]) AS made (key_id, subject, wrapped)
ON CONFLICT (subject) DO NOTHING
