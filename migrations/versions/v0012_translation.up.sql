-- Where each translation of a captured table stands: it moves in the transaction that records the events.

-- epoch fences: whoever claims a partition raises it, and only its holder's checkpoint moves. blocked is the record it stands still at.
CREATE TABLE eventstore.translation (
    name        text COLLATE "C" NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    epoch       bigint NOT NULL DEFAULT 1,
    owner       text NOT NULL,
    topic_id    uuid,
    reason      text,
    blocked     bigint,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, topic, partition)
);
COMMENT ON TABLE eventstore.translation IS 'Up to which offset of its topic each translation has recorded events';

INSERT INTO eventstore.privilege (kind, object, duty, privileges) VALUES
    ('table', 'eventstore.translation', 'writer', 'SELECT, INSERT, UPDATE');
SELECT eventstore.settle_roles_v1();
