-- Every stream that holds events sealed with a key, and how many; see the index event_subject_key.
SELECT stream, count(*) FROM eventstore.event
WHERE metadata ? 'subjectkey' AND metadata ->> 'subjectkey' = %s
GROUP BY stream ORDER BY stream
