-- The keys of subjects, as they are wrapped.
SELECT key_id, subject, master, wrapped FROM privacy.subject_key WHERE subject = ANY (%s)
