-- What keeps events in order when a dump carries them to another server, whose transactions count from elsewhere.

-- One row: the number that is added to this server's transaction ids, so that they go on where the restored events end.
-- A dump carries the row, but not the id of the transaction that wrote it, which PostgreSQL keeps beside every row as xmin. So
-- row_xid = xmin says that this is the server on which the shift was chosen; copies of the files (pg_basebackup, pg_upgrade,
-- CREATE DATABASE ... TEMPLATE) carry both, and rightly, for they carry the transaction counter too, or share it.
CREATE TABLE eventstore.era (
    shift bigint NOT NULL CHECK (shift >= 0),
    row_xid bigint NOT NULL,
    system_identifier bigint NOT NULL,
    since timestamptz NOT NULL,
    one boolean PRIMARY KEY DEFAULT true CHECK (one)
);
COMMENT ON TABLE eventstore.era IS 'What is added to the transaction ids of this server; chosen again after a restore.';

-- Choose the shift for this server, if it was not chosen here: the least with which every transaction that runs, or ever will,
-- comes after all events that are stored. No event changes, so positions, tokens, checkpoints and the log stay what they were.
-- Until this has run, appends and ordered reads are refused (RF019), so nothing can be recorded or read out of order.
-- Two statements set row_xid, because a row's xmin is known once it is written; both belong to one subtransaction, if any.
CREATE FUNCTION eventstore.restored_v1(OUT changed boolean, OUT shift bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_newest bigint;
    v_oldest bigint;
BEGIN
    LOCK TABLE eventstore.event, eventstore.stream, eventstore.era IN EXCLUSIVE MODE;
    SELECT e.shift INTO shift FROM eventstore.era AS e WHERE e.row_xid = e.xmin::text::bigint;
    changed := NOT FOUND;
    IF changed THEN
        SELECT e.xid::text::bigint INTO v_newest FROM eventstore.event AS e ORDER BY e.xid DESC LIMIT 1;
        v_oldest := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
        shift := greatest(0, coalesce(v_newest, 0) + 1 - v_oldest);
        DELETE FROM eventstore.era;
        INSERT INTO eventstore.era AS e (shift, row_xid, system_identifier, since)
            SELECT restored_v1.shift, 0, s.system_identifier, clock_timestamp() FROM pg_control_system() AS s;
        UPDATE eventstore.era AS e SET row_xid = e.xmin::text::bigint;
    END IF;
END $$;
REVOKE ALL ON FUNCTION eventstore.restored_v1 FROM PUBLIC;

-- The shift of this server. RF019 = the store came here in a dump and nobody has said so yet.
CREATE FUNCTION eventstore.shift_v1() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_shift bigint;
BEGIN
    SELECT e.shift INTO v_shift FROM eventstore.era AS e WHERE e.row_xid = e.xmin::text::bigint;
    IF v_shift IS NULL THEN
        RAISE EXCEPTION 'this store was restored from a dump, and its events do not go on in order here yet'
            USING ERRCODE = 'RF019', HINT = 'Run `eventstore restored` once; until then nothing is recorded and nothing read in order.';
    END IF;
    RETURN v_shift;
END $$;

-- The number of the running transaction, as events carry it. Everything that writes events takes it from here.
CREATE FUNCTION eventstore.current_xid_v1() RETURNS xid8 LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_shift CONSTANT bigint := eventstore.shift_v1();
BEGIN
    RETURN CASE v_shift WHEN 0 THEN pg_catalog.pg_current_xact_id()
        ELSE (pg_catalog.pg_current_xact_id()::text::bigint + v_shift)::text::xid8 END;
END $$;

-- What this statement sees, as a snapshot of such numbers. The literal form is "oldest running:next:running,running".
CREATE FUNCTION eventstore.snapshot_v1() RETURNS pg_snapshot LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_shift CONSTANT bigint := eventstore.shift_v1();
    v_here CONSTANT pg_snapshot := pg_current_snapshot();
BEGIN
    RETURN CASE v_shift WHEN 0 THEN v_here ELSE (
        SELECT format('%s:%s:%s', pg_snapshot_xmin(v_here)::text::bigint + v_shift, pg_snapshot_xmax(v_here)::text::bigint + v_shift,
            string_agg((x::text::bigint + v_shift)::text, ',' ORDER BY x))
        FROM pg_snapshot_xip(v_here) AS x
    )::pg_snapshot END;
END $$;

-- The horizon: nothing below it can still appear. Stable, so it comes from the very snapshot that the rows are read with.
CREATE FUNCTION eventstore.horizon_v1() RETURNS xid8 LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    v_shift CONSTANT bigint := eventstore.shift_v1();
    v_oldest CONSTANT xid8 := pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot());
BEGIN
    RETURN CASE v_shift WHEN 0 THEN v_oldest ELSE (v_oldest::text::bigint + v_shift)::text::xid8 END;
END $$;
GRANT EXECUTE ON FUNCTION eventstore.shift_v1, eventstore.current_xid_v1, eventstore.snapshot_v1, eventstore.horizon_v1 TO PUBLIC;

ALTER TABLE eventstore.event ALTER COLUMN xid SET DEFAULT eventstore.current_xid_v1();

-- The functions of earlier revisions read the same clock from now on; nothing else about them changes. `replace` on their own
-- text, because a second copy of each would have to be kept equal to the first by hand.
DO $$
DECLARE
    v_function oid;
BEGIN
    FOR v_function IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'eventstore'::regnamespace
        AND p.proname NOT IN ('restored_v1', 'current_xid_v1', 'snapshot_v1', 'horizon_v1')
        AND p.prosrc ~ 'pg_current_(xact_id|snapshot)\(\)'
    LOOP
        EXECUTE replace(replace(pg_get_functiondef(v_function), 'pg_current_xact_id()', 'eventstore.current_xid_v1()'),
            'pg_current_snapshot()', 'eventstore.snapshot_v1()');
    END LOOP;
    IF to_regclass('eventstore.privilege') IS NOT NULL THEN
        EXECUTE $matrix$
            INSERT INTO eventstore.privilege (kind, object, duty, privileges)
            SELECT 'function', o.object, d.duty, 'EXECUTE'
                FROM unnest(ARRAY['shift_v1', 'current_xid_v1', 'snapshot_v1', 'horizon_v1']) AS o (object),
                unnest(ARRAY['writer', 'relay', 'projector', 'reader']) AS d (duty)
            UNION ALL VALUES ('function', 'restored_v1', 'owner', 'ALL'), ('table', 'eventstore.era', 'owner', 'ALL')
        $matrix$;
    END IF;
END $$;

SELECT eventstore.restored_v1();
