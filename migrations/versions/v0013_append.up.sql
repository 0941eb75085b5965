-- Appends of fewer steps: filled in by the commits that follow.
SELECT 1;
