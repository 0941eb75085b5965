-- a session whose handlers are at work is not idle
SELECT 1
