-- The settings on which durability, order and change capture rest, as this session has them; hidden ones are missing.
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'wal_level', 'max_slot_wal_keep_size', 'data_directory')
