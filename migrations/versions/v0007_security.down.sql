-- Takes back what the revision of this name added.
SELECT 1;
