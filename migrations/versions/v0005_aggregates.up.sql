-- What aggregates keep beside their events: snapshots, which are a cache; where processes are; and tasks, which are to be done.

-- One row a stream and fold. Releases that run side by side have other fingerprints, so neither meets the other's states.
CREATE TABLE eventstore.snapshot (
    version     bigint NOT NULL CHECK (version > 0),
    taken_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id    uuid NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    kinds       jsonb NOT NULL,
    checksum    bytea NOT NULL,
    state       bytea NOT NULL,
    PRIMARY KEY (stream, fingerprint)
);
COMMENT ON TABLE eventstore.snapshot IS 'States folded already. A cache: deleting rows is always safe.';

-- One row a process. epoch fences: an owner moves the checkpoint only while the epoch is its own. lease_until is this server's time.
CREATE TABLE eventstore.process (
    epoch       bigint NOT NULL DEFAULT 1,
    xid         bigint NOT NULL,
    sequence    bigint NOT NULL,
    lease_until timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    name        text COLLATE "C" PRIMARY KEY,
    owner       text NOT NULL,
    blocked     text,
    reason      text
) WITH (fillfactor = 50);
COMMENT ON COLUMN eventstore.process.blocked IS 'the position of the event that it stands still before; reason says why';

CREATE TABLE eventstore.process_instance (
    changed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at timestamptz,
    process      text COLLATE "C" NOT NULL REFERENCES eventstore.process (name),
    instance     text COLLATE "C" NOT NULL,
    state        jsonb NOT NULL,
    PRIMARY KEY (process, instance)
) WITH (fillfactor = 80);

-- lane: what must be done in order, one after the other (a stream); null = in any order. attempts is also the fence of a lease.
-- Rows that are done stay: they are the ledger of what was sent because of which event.
CREATE TABLE eventstore.task (
    seq            bigint GENERATED ALWAYS AS IDENTITY,
    due_at         timestamptz NOT NULL,
    retry_at       timestamptz,
    lease_until    timestamptz,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at       timestamptz,
    task_id        uuid PRIMARY KEY,
    cause          uuid,
    attempts       integer NOT NULL DEFAULT 0,
    schema_version integer NOT NULL,
    repeatable     boolean NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('event', 'command', 'timeout', 'call')),
    state          text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed', 'cancelled')),
    name           text NOT NULL,
    lane           text COLLATE "C",
    process        text COLLATE "C",
    instance       text COLLATE "C",
    timer          text COLLATE "C",
    holder         text,
    reason         text,
    data           jsonb NOT NULL,
    metadata       jsonb NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX task_due ON eventstore.task (due_at, seq) WHERE state = 'waiting' AND kind <> 'timeout';
CREATE INDEX task_lane ON eventstore.task (lane, due_at, seq) WHERE state = 'waiting' AND lane IS NOT NULL;
CREATE INDEX task_timeout ON eventstore.task (process, due_at, seq) WHERE state = 'waiting' AND kind = 'timeout';
CREATE UNIQUE INDEX task_timer_once ON eventstore.task (process, instance, timer) WHERE state = 'waiting' AND kind = 'timeout';
CREATE INDEX task_failed ON eventstore.task (seq) WHERE state = 'failed';
COMMENT ON TABLE eventstore.task IS 'What is to be done at a time: record an event, handle a command, wake a process, call the outside.';
