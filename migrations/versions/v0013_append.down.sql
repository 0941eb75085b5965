-- Nothing to take back yet.
SELECT 1;
