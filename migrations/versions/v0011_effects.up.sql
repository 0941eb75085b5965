-- Effects of projections: what is to be done outside, once an event, and where each effect stands in the log.

-- Where each effect stands in the log. It belongs to the projection and not to a generation, so that no rebuild begins it anew.
CREATE TABLE projections.effect_vector (
    projection  text    NOT NULL,
    effect      text    NOT NULL,
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    first_offset bigint NOT NULL,
    next_offset bigint  NOT NULL,
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, effect, topic, partition)
);
COMMENT ON TABLE projections.effect_vector IS 'The offsets from which events have an effect (first_offset, frozen) and up to which they are in the ledger';

-- One row an effect and event: written in the transaction that applies the event, carried out afterwards.
CREATE TABLE projections.effect (
    number      bigint GENERATED ALWAYS AS IDENTITY,
    projection  text    NOT NULL,
    effect      text    NOT NULL,
    event_id    uuid    NOT NULL,
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    "offset"    bigint  NOT NULL,
    timestamp   bigint  NOT NULL,
    key         bytea,
    value       bytea   NOT NULL,
    headers     jsonb   NOT NULL DEFAULT '[]',
    state       text    NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'done', 'dead', 'skipped')),
    attempts    integer NOT NULL DEFAULT 0,
    retry_at    timestamptz,
    lease_until timestamptz,
    holder      text,
    reason      text,
    outcome     jsonb,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    PRIMARY KEY (projection, effect, event_id)
);
COMMENT ON COLUMN projections.effect.attempts IS 'how often it was begun; fences who began it before';
COMMENT ON COLUMN projections.effect.outcome IS 'what the function gave back, as JSON';
CREATE INDEX effect_open ON projections.effect (projection, effect, number) WHERE state IN ('due', 'dead');
-- a key may be longer than an index takes, its hash is not
CREATE INDEX effect_lane ON projections.effect (projection, effect, sha256(key), number) WHERE state IN ('due', 'dead');

INSERT INTO eventstore.privilege (kind, object, duty, privileges) VALUES
    ('table', 'projections.effect_vector', 'projector', 'SELECT, INSERT, UPDATE'),
    ('table', 'projections.effect', 'projector', 'SELECT, INSERT, UPDATE, DELETE');
SELECT eventstore.settle_roles_v1();
