-- The instances that a batch touches.
SELECT instance, state::text, completed_at IS NOT NULL
FROM eventstore.process_instance
WHERE process = %s AND instance = ANY (%s)
