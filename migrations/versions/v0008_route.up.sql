-- What the relay must remember of its topic, and the switch between the two routes into the log: relay and Debezium.

-- A stream's partition must never change, and a topic does not say with how many partitions it began.
CREATE TABLE eventstore.topic (
    name text PRIMARY KEY,
    partitions integer NOT NULL CHECK (partitions > 0),
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE eventstore.topic IS 'With how many partitions each events topic began; the relay refuses another number.';

-- Debezium carries the positions above "after" and up to "until"; the relay carries all others. Both are the last number drawn
-- while nobody could record. Who had drawn one and not yet recorded it is refused by the trigger, and comes again with a new
-- number; once the horizon has passed "opened_xid" or "closed_xid" nobody is left who could. Every event above "until" has an
-- xid of at least "resume_xid".
CREATE TABLE eventstore.route (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    after bigint NOT NULL,
    opened_xid xid8 NOT NULL,
    until bigint,
    resume_xid xid8,
    closed_xid xid8,
    topic text NOT NULL,
    source text NOT NULL,
    settled boolean NOT NULL DEFAULT false,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (until >= after),
    CHECK (NOT settled OR (until IS NOT NULL AND resume_xid IS NOT NULL AND closed_xid IS NOT NULL))
);
CREATE UNIQUE INDEX route_one_open ON eventstore.route ((true)) WHERE NOT settled;
COMMENT ON TABLE eventstore.route IS 'Which events Debezium carried, or carries now, instead of the relay.';

-- The wire format's document of one event, byte for byte what `compose` in eventstore/log/wire.py writes.
-- jsonb and to_json quote texts as the relay's encoder does; times need the session in UTC, which the caller sees to.
CREATE FUNCTION eventstore.document_v1(p_event eventstore.event, p_source text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '{"specversion":"1.0","id":"' || (p_event).event_id || '","source":' || to_json(p_source)
        || ',"type":' || to_json((p_event).type) || ',"subject":' || to_json((p_event).stream)
        || ',"time":' || to_json((p_event).occurred_at) || ',"datacontenttype":"application/json","streamversion":'
        || (p_event).version || ',"schemaversion":' || (p_event).schema_version
        || ',"position":"' || (p_event).xid || '.' || (p_event).position || '","recordedat":' || to_json((p_event).recorded_at)
        || coalesce(',"tags":' || to_json(to_json((p_event).tags)::text), '')
        || CASE (p_event).metadata WHEN '{}' THEN '' ELSE (
            SELECT coalesce(string_agg(',"' || t.name || '":' || ((p_event).metadata -> t.name), '' ORDER BY t.n), '')
            FROM unnest(ARRAY['traceparent', 'tracestate', 'correlationid', 'causationid']) WITH ORDINALITY AS t (name, n)
            WHERE jsonb_typeof((p_event).metadata -> t.name) = 'string'
        ) || ',"metadata":' || (p_event).metadata END
        || ',"data":' || (p_event).data || '}'
$$;

-- Writes the documents of new events into the write-ahead log, where logical decoding finds them; no table grows by it.
-- One statement is one call, and its events are written in the order of their positions. The trigger that calls it is made when
-- the route is opened: even a disabled one would gather the new rows of every append.
-- 40001 = the routes were switched between the drawing of a position and this moment: append again. Snapshots that are older
-- than the statement would not see the switch, hence RF021.
CREATE FUNCTION eventstore.announce_v1() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    v_route eventstore.route;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'while Debezium carries the events, they are recorded in READ COMMITTED transactions only, not in %',
            current_setting('transaction_isolation') USING ERRCODE = 'RF021';
    END IF;
    SELECT r.* INTO v_route FROM eventstore.route AS r WHERE NOT r.settled;
    IF NOT FOUND OR EXISTS (SELECT FROM added AS a WHERE a.position <= coalesce(v_route.until, v_route.after)) THEN
        RAISE EXCEPTION 'the events change to another route at this moment' USING ERRCODE = '40001';
    END IF;
    IF v_route.until IS NULL THEN
        PERFORM pg_logical_emit_message(true, 'refold.event', '{"stream":' || to_json((ordered.event).stream) || ',"document":'
                || to_json(eventstore.document_v1(ordered.event, v_route.source)) || '}')
            FROM (SELECT a::eventstore.event AS event FROM added AS a ORDER BY a.position) AS ordered;
    END IF;
    RETURN NULL;
END $$;

-- From now on events are announced, and the relay leaves them alone. Waits for the transactions that record events at this
-- moment, five seconds at most, since nobody can append meanwhile (55P03 = run it again).
CREATE FUNCTION eventstore.open_route_v1(p_topic text, p_source text) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    v_id bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'eventstore.event'::regclass AND t.tgname = 'event_announced') THEN
        CREATE TRIGGER event_announced AFTER INSERT ON eventstore.event
            REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION eventstore.announce_v1();
    END IF;
    ALTER TABLE eventstore.event ENABLE ALWAYS TRIGGER event_announced;
    INSERT INTO eventstore.route (topic, source, opened_xid, after)
        SELECT p_topic, p_source, pg_current_xact_id(), CASE WHEN s.is_called THEN s.last_value ELSE 0 END
        FROM eventstore.event_position_seq AS s
        RETURNING id INTO v_id;
    RETURN v_id;
END $$;

-- From now on nothing is announced. The relay still waits: `settle_route_v1` lets it go on, once Debezium has delivered.
CREATE FUNCTION eventstore.close_route_v1() RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    v_until bigint;
BEGIN
    LOCK TABLE eventstore.event IN SHARE ROW EXCLUSIVE MODE;
    UPDATE eventstore.route AS r SET closed_xid = pg_current_xact_id(), resume_xid = pg_snapshot_xmin(pg_current_snapshot()),
        until = greatest(r.after, (SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM eventstore.event_position_seq AS s))
        WHERE NOT r.settled AND r.until IS NULL
        RETURNING r.until INTO v_until;
    RETURN v_until;
END $$;

-- Give the number of the route that is settled now; NULL = transactions from before its end still run, so ask again.
CREATE FUNCTION eventstore.settle_route_v1() RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    v_id bigint;
BEGIN
    UPDATE eventstore.route AS r SET settled = true
        WHERE NOT r.settled AND r.closed_xid < pg_snapshot_xmin(pg_current_snapshot())
        RETURNING r.id INTO v_id;
    IF FOUND THEN
        ALTER TABLE eventstore.event DISABLE TRIGGER event_announced;
        BEGIN -- dropping it would wait for every reader; where one is busy it stays, disabled, until the route is opened again
            LOCK TABLE eventstore.event IN ACCESS EXCLUSIVE MODE NOWAIT;
            DROP TRIGGER event_announced ON eventstore.event;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END IF;
    RETURN v_id;
END $$;

REVOKE ALL ON FUNCTION eventstore.open_route_v1, eventstore.close_route_v1, eventstore.settle_route_v1 FROM PUBLIC;

INSERT INTO eventstore.privilege (kind, object, duty, privileges) VALUES
    ('table', 'eventstore.topic', 'relay', 'SELECT, INSERT, UPDATE'),
    ('table', 'eventstore.route', 'relay', 'SELECT'),
    ('function', 'document_v1', 'relay', 'EXECUTE'),
    ('function', 'announce_v1', 'owner', 'ALL'),
    ('function', 'open_route_v1', 'owner', 'ALL'),
    ('function', 'close_route_v1', 'owner', 'ALL'),
    ('function', 'settle_route_v1', 'owner', 'ALL');
