-- Some keys that are wrapped under another master key than the current one, held so that no forgetting comes between.
SELECT key_id, subject, master, wrapped FROM privacy.subject_key
WHERE wrapped IS NOT NULL AND master <> %s
ORDER BY key_id LIMIT %s FOR UPDATE
