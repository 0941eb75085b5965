-- ask the owner of the partition to try again now: the first record of a key stands for the later ones
UPDATE projections.parked p SET retry_at = clock_timestamp() FROM (
    SELECT DISTINCT ON (topic, partition, key, CASE WHEN key IS NULL THEN "offset" END) topic, partition, "offset"
    FROM projections.parked WHERE generation = %(generation)s
    AND (%(key)s::bytea IS NULL OR key = %(key)s::bytea)
    ORDER BY topic, partition, key, CASE WHEN key IS NULL THEN "offset" END, "offset"
) AS head
WHERE p.generation = %(generation)s AND p.topic = head.topic AND p.partition = head.partition AND p."offset" = head."offset"
RETURNING p.topic, p.partition, p.key, p."offset"
