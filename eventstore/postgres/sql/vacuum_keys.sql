-- Clear the row versions that still hold a wrapped key from the table's pages now, not some day.
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) privacy.subject_key
