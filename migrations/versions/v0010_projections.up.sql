-- Parked records are tried again when it is their time or when somebody asks; a checkpoint knows which topic its offsets count.

-- attempts, retry_at: how often a record was tried again, and when it is next; only the first of a key ever waits for a time.
-- skip: somebody decided that it is left out; the owner of its partition carries that out, as it does a retry.
ALTER TABLE projections.parked
    ADD COLUMN timestamp bigint NOT NULL DEFAULT 0,
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN retry_at timestamptz,
    ADD COLUMN tried_at timestamptz,
    ADD COLUMN skip boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN projections.parked.retry_at IS 'when the owner of the partition tries it again; none = when somebody asks';
COMMENT ON COLUMN projections.parked.skip IS 'somebody decided that it is left out, see projections.audit';
-- a key may be longer than an index takes, its hash is not
CREATE INDEX parked_key ON projections.parked (generation, topic, partition, sha256(key), "offset");
CREATE INDEX parked_due ON projections.parked (generation, retry_at) WHERE retry_at IS NOT NULL;

ALTER TABLE projections.checkpoint ADD COLUMN topic_id uuid;
COMMENT ON COLUMN projections.checkpoint.topic_id IS 'Kafka''s id of the topic that next_offset counts; another id = the topic was made anew';
