-- The catalogue of read models: which builds exist, which is live, where each stands.
CREATE SCHEMA projections;

CREATE TABLE projections.generation (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection     text        NOT NULL,
    number         integer     NOT NULL CHECK (number > 0),
    version        integer     NOT NULL CHECK (version > 0),
    fingerprint    text        NOT NULL,
    state          text        NOT NULL CHECK (state IN
                   ('created', 'building', 'caught_up', 'verified', 'live', 'retired', 'failed', 'dropped')),
    schema_name    text        NOT NULL,
    consumer_group text        NOT NULL,
    topics         jsonb       NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    retire_at      timestamptz,
    detail         jsonb       NOT NULL DEFAULT '{}',
    UNIQUE (projection, number)
);
COMMENT ON TABLE projections.generation IS 'One physical build of a projection: own tables, own consumer group, own checkpoint';

-- One row per projection; readers resolve it once per request, a swap updates it.
CREATE TABLE projections.pointer (
    projection text PRIMARY KEY,
    generation bigint REFERENCES projections.generation (id),
    moved_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- fillfactor leaves room for the updates of every batch, so that they stay on their page
CREATE TABLE projections.checkpoint (
    generation  bigint  NOT NULL REFERENCES projections.generation (id),
    topic       text    NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint  NOT NULL DEFAULT 0,
    seen_offset bigint  NOT NULL DEFAULT 0,
    epoch       bigint  NOT NULL DEFAULT 0,
    owner       text    NOT NULL DEFAULT '',
    xid         bigint,
    sequence    bigint,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (generation, topic, partition)
) WITH (fillfactor = 50);
COMMENT ON COLUMN projections.checkpoint.next_offset IS 'last applied record''s offset + 1';
COMMENT ON COLUMN projections.checkpoint.seen_offset IS 'how far the log was read, transaction markers included; for lag only';

CREATE TABLE projections.parked (
    generation bigint  NOT NULL REFERENCES projections.generation (id),
    topic      text    NOT NULL,
    partition  integer NOT NULL,
    "offset"   bigint  NOT NULL,
    key        bytea,
    value      bytea,
    headers    jsonb   NOT NULL DEFAULT '[]',
    reason     text    NOT NULL,
    parked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (generation, topic, partition, "offset")
);

CREATE TABLE projections.audit (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection      text NOT NULL,
    action          text NOT NULL,
    from_generation integer,
    to_generation   integer,
    actor           text NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    detail          jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_projection ON projections.audit (projection, id);
