-- Take a subject's key away and keep that it was; the first time counts.
UPDATE privacy.subject_key SET wrapped = NULL, master = NULL, forgotten_at = coalesce(forgotten_at, clock_timestamp())
WHERE subject = %s
RETURNING key_id
