-- which generations read a derived topic and are needed: fed or built, retired ones past their grace time only if others read them
WITH RECURSIVE needed AS (
    SELECT id, projection, number, state, topics FROM projections.generation
    WHERE state IN ('created', 'building', 'caught_up', 'verified', 'live') OR (state = 'retired' AND retire_at > clock_timestamp())
    UNION
    SELECT u.id, u.projection, u.number, u.state, u.topics FROM projections.generation u
    JOIN needed ON jsonb_exists(needed.topics, u.consumer_group || '.derived') WHERE u.state = 'retired'
)
SELECT projection, number, state FROM needed WHERE jsonb_exists(topics, %(topic)s) ORDER BY projection, number
