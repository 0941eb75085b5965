-- How many keys are wrapped under which master key; none = forgotten.
SELECT master, count(*) FROM privacy.subject_key GROUP BY master ORDER BY master
