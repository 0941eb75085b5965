-- With how many partitions the topic began; the first relay of it says so. An emptied topic begins anew.
INSERT INTO eventstore.topic AS t (name, partitions) VALUES (%(name)s, %(partitions)s)
ON CONFLICT (name) DO UPDATE SET partitions = CASE WHEN %(empty)s THEN excluded.partitions ELSE t.partitions END
RETURNING partitions
