-- A day of impossible readings is withdrawn.
DELETE FROM weather WHERE origin = 'EWR' AND time_hour >= '2013-12-28T05:00:00Z' AND time_hour < '2013-12-29T05:00:00Z'
