-- Forget when parked records are tried again, and which topic a checkpoint counts.
ALTER TABLE projections.checkpoint DROP COLUMN topic_id;
DROP INDEX projections.parked_due;
DROP INDEX projections.parked_key;
ALTER TABLE projections.parked
    DROP COLUMN timestamp, DROP COLUMN attempts, DROP COLUMN retry_at, DROP COLUMN tried_at, DROP COLUMN skip;
