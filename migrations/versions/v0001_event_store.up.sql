-- The event store. Names in "C" order: comparing bytes is faster, and no operating system upgrade can break such an index.
CREATE TABLE eventstore.stream (
    version bigint NOT NULL CHECK (version > 0),
    last_xid xid8 NOT NULL,
    name text COLLATE "C" PRIMARY KEY CHECK (name <> '' AND length(name) <= 512)
) WITH (fillfactor = 80);
COMMENT ON TABLE eventstore.stream IS 'One row a stream: its last version, and the transaction that wrote it last.';

-- Three indexes and no more, since each is written for every event: (stream, version) is both the rule "one event a version"
-- and how a stream is read; event_id makes an append idempotent; (xid, position) is how all events are read in order, and
-- grows at its end only. A sequence needs no unique index. Columns of 8 bytes come first, so that nothing is padded.
CREATE TABLE eventstore.event (
    position bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    version bigint NOT NULL CHECK (version > 0),
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    event_id uuid NOT NULL CONSTRAINT event_id_once UNIQUE,
    schema_version integer NOT NULL CHECK (schema_version > 0),
    stream text COLLATE "C" NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    metadata jsonb NOT NULL,
    CONSTRAINT event_version_once PRIMARY KEY (stream, version)
);
CREATE INDEX event_order ON eventstore.event (xid, position);
COMMENT ON TABLE eventstore.event IS 'What happened, for ever: rows are added by append_v1 and import_v1 and never changed.';

CREATE FUNCTION eventstore.refuse_change_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %.% refused: what happened is never changed', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'RF003', HINT = 'Append an event that corrects the earlier one; erase personal data by deleting its key.';
END $$;

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.event
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change_v1();
CREATE TRIGGER stream_kept BEFORE DELETE OR TRUNCATE ON eventstore.stream
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change_v1();
ALTER TABLE eventstore.event ENABLE ALWAYS TRIGGER event_append_only;
ALTER TABLE eventstore.stream ENABLE ALWAYS TRIGGER stream_kept;

-- Append p_events (JSON array of {t: type, v: schema version, d: data, m: metadata, o: occurred at}) under p_ids to p_stream.
-- p_expected: -1 any version, -2 an existing stream, 0 no stream, n exactly version n.
-- Errors: RF001 wrong expected version (DETAIL = actual version), RF002 some of the ids are recorded elsewhere,
-- 23505 event_id_once = another connection records these ids right now, 40001 = try again in a new transaction.
-- The update of the stream row is lock, check and count in one; a version is checked before a position is drawn, so losers
-- leave no holes. 40001 keeps a stream in order for readers by (xid, position): without it a transaction that got its xid
-- early could add version 2 with a lower xid than version 1's. The advisory lock ("refd" and the stream) makes writers of one
-- stream queue before they have an xid, so that they get theirs in the order of the queue: without it 32 writers of one stream
-- refused each other over and over. It costs 2 us; a transaction that has an xid already can still be refused.
-- Sequential scans are off because a plan made while the table was empty would be kept when it is not.
CREATE FUNCTION eventstore.append_v1(
    p_stream text, p_expected bigint, p_ids uuid[], p_events json,
    OUT last_version bigint, OUT last_xid bigint, OUT last_position bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    v_count CONSTANT integer := cardinality(p_ids);
    v_known integer;
    v_stream eventstore.stream;
    v_me xid8;
    v_now timestamptz;
    v_refused boolean := false;
BEGIN
    PERFORM pg_advisory_xact_lock(1919247972, hashtext(p_stream));
    LOOP
        SELECT count(*) INTO v_known FROM eventstore.event AS e WHERE e.event_id = ANY (p_ids);
        IF v_known > 0 THEN
            SELECT r.version, r.xid, r.position INTO last_version, last_xid, last_position
                FROM eventstore.recorded_v1(p_stream, p_ids) AS r;
            RETURN;
        END IF;
        IF v_refused THEN
            RAISE EXCEPTION 'wrong expected version of %', p_stream USING ERRCODE = 'RF001', DETAIL = coalesce(v_stream.version, 0);
        END IF;
        v_me := pg_current_xact_id();
        IF p_expected <> 0 THEN
            UPDATE eventstore.stream AS s SET version = s.version + v_count, last_xid = v_me
                WHERE s.name = p_stream AND s.last_xid <= v_me AND (p_expected < 0 OR s.version = p_expected)
                RETURNING s.version INTO last_version;
            EXIT WHEN FOUND;
        END IF;
        IF p_expected IN (-1, 0) THEN
            INSERT INTO eventstore.stream AS s (name, version, last_xid) VALUES (p_stream, v_count, v_me)
                ON CONFLICT (name) DO NOTHING RETURNING s.version INTO last_version;
            EXIT WHEN FOUND;
        END IF;
        SELECT s.* INTO v_stream FROM eventstore.stream AS s WHERE s.name = p_stream;
        v_refused := CASE p_expected WHEN -1 THEN false WHEN -2 THEN NOT FOUND
            ELSE p_expected <> coalesce(v_stream.version, 0) END;
        IF NOT v_refused AND v_stream.last_xid > v_me THEN
            RAISE EXCEPTION 'a younger transaction appended to % first', p_stream USING ERRCODE = '40001';
        END IF;
    END LOOP;
    v_now := clock_timestamp();
    INSERT INTO eventstore.event
        (xid, event_id, stream, version, type, schema_version, data, metadata, occurred_at, recorded_at)
    SELECT v_me, p_ids[e.n], p_stream, last_version - v_count + e.n, e.t, e.v, e.d, coalesce(e.m, '{}'), coalesce(e.o, v_now), v_now
        FROM ROWS FROM (json_to_recordset(p_events) AS (t text, v integer, d jsonb, m jsonb, o timestamptz))
            WITH ORDINALITY AS e (t, v, d, m, o, n)
        ORDER BY e.n;
    last_xid := v_me::text::bigint;
    last_position := currval('eventstore.event_position_seq');
END $$;

-- What is recorded under p_ids if they lie in p_stream side by side in that order; RF002 otherwise.
CREATE FUNCTION eventstore.recorded_v1(p_stream text, p_ids uuid[], OUT version bigint, OUT xid bigint, OUT "position" bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_known bigint;
    v_shifts bigint;
    v_example uuid;
    v_where text;
BEGIN
    SELECT count(*), count(DISTINCT e.version - i.n), min(e.event_id::text)::uuid, min(e.stream)
        INTO v_known, v_shifts, v_example, v_where
        FROM unnest(p_ids) WITH ORDINALITY AS i (id, n) JOIN eventstore.event AS e ON e.event_id = i.id;
    IF v_known <> cardinality(p_ids) OR v_shifts <> 1 OR v_where <> p_stream OR EXISTS (
        SELECT FROM eventstore.event AS e WHERE e.event_id = ANY (p_ids) AND e.stream <> p_stream
    ) THEN
        RAISE EXCEPTION '% of % event ids are recorded already, and not as this append: for example % in stream %',
            v_known, cardinality(p_ids), v_example, v_where USING ERRCODE = 'RF002';
    END IF;
    SELECT e.version, e.xid::text::bigint, e.position INTO recorded_v1.version, recorded_v1.xid, recorded_v1.position
        FROM eventstore.event AS e WHERE e.event_id = p_ids[cardinality(p_ids)];
END $$;

-- Record what was copied into pg_temp.incoming (n = the wanted order) and give how many were new and how many known already.
-- Known ids are skipped, so a broken import is simply run again. Stream rows are created and locked in the order of their
-- names, which keeps two imports from waiting for each other. 40001 = a younger transaction appended to one of the streams.
-- Runs with the caller's rights, because it reads the caller's temporary table: importing is the owner's work.
CREATE FUNCTION eventstore.import_v1(OUT recorded bigint, OUT known bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET work_mem = '64MB' AS $$
DECLARE
    v_me CONSTANT xid8 := pg_current_xact_id();
    v_now CONSTANT timestamptz := clock_timestamp();
    v_total bigint;
    v_ids CONSTANT uuid[] := (SELECT array_agg(i.event_id) FROM pg_temp.incoming AS i);
BEGIN
    -- As an array the ids are looked up one by one, in order; a join was planned as a scan of the whole index.
    SELECT count(*) INTO known FROM eventstore.event AS e WHERE e.event_id = ANY (v_ids);
    IF known > 0 THEN
        DELETE FROM pg_temp.incoming AS i
            WHERE i.event_id IN (SELECT e.event_id FROM eventstore.event AS e WHERE e.event_id = ANY (v_ids));
    END IF;
    SELECT count(*) INTO v_total FROM pg_temp.incoming;
    WITH counted AS (
        SELECT i.stream, count(*) AS added FROM pg_temp.incoming AS i GROUP BY i.stream ORDER BY i.stream
    ), raised AS (
        INSERT INTO eventstore.stream AS s (name, version, last_xid)
        SELECT c.stream, c.added, v_me FROM counted AS c ORDER BY c.stream
        ON CONFLICT (name) DO UPDATE SET version = s.version + excluded.version, last_xid = v_me WHERE s.last_xid <= v_me
        RETURNING s.name, s.version
    ), numbered AS (
        SELECT i.*, r.version - count(*) OVER (PARTITION BY i.stream) + row_number() OVER (PARTITION BY i.stream ORDER BY i.n)
            AS version
        FROM pg_temp.incoming AS i JOIN raised AS r ON r.name = i.stream
    )
    INSERT INTO eventstore.event
        (xid, event_id, stream, version, type, schema_version, data, metadata, occurred_at, recorded_at)
    SELECT v_me, b.event_id, b.stream, b.version, b.type, b.schema_version, b.data, b.metadata, coalesce(b.occurred_at, v_now), v_now
        FROM numbered AS b ORDER BY b.n;
    GET DIAGNOSTICS recorded = ROW_COUNT;
    IF recorded <> v_total THEN
        RAISE EXCEPTION 'a younger transaction appended to one of the streams first' USING ERRCODE = '40001';
    END IF;
END $$;

REVOKE ALL ON FUNCTION eventstore.append_v1, eventstore.recorded_v1, eventstore.import_v1 FROM PUBLIC;
