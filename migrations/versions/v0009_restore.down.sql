-- Back to the server's own transaction ids; refused where events were recorded under shifted ones.
DO $$
DECLARE
    v_function oid;
BEGIN
    IF eventstore.shift_v1() > 0 THEN
        RAISE EXCEPTION 'this store was restored from a dump: without revision v0009 its events would run backwards';
    END IF;
    FOR v_function IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'eventstore'::regnamespace
        AND strpos(p.prosrc, 'eventstore.current_xid_v1()') > 0 LOOP
        EXECUTE replace(pg_get_functiondef(v_function), 'eventstore.current_xid_v1()', 'pg_current_xact_id()');
    END LOOP;
    FOR v_function IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'eventstore'::regnamespace
        AND strpos(p.prosrc, 'eventstore.horizon_v1()') > 0 LOOP
        EXECUTE replace(pg_get_functiondef(v_function), 'eventstore.horizon_v1()', 'pg_snapshot_xmin(pg_current_snapshot())');
    END LOOP;
END $$;
ALTER TABLE eventstore.event ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
DROP FUNCTION eventstore.horizon_v1, eventstore.current_xid_v1, eventstore.shift_v1, eventstore.restored_v1;
DROP TABLE eventstore.era;
