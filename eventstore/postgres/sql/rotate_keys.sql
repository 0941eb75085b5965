-- Put keys that were wrapped anew in the place of the old ones.
UPDATE privacy.subject_key AS k SET master = %s, wrapped = m.wrapped
FROM unnest(%s::uuid[], %s::bytea[]) AS m (key_id, wrapped)
WHERE k.key_id = m.key_id AND k.wrapped IS NOT NULL
