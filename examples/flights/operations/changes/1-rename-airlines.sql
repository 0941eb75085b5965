-- Two airlines are renamed after their mergers.
UPDATE airlines
SET name = CASE carrier WHEN 'FL' THEN 'Southwest Airlines (AirTran)' ELSE 'American Airlines (US Airways)' END
WHERE carrier IN ('FL', 'US')
