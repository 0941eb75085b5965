-- Back to the server's own transaction ids; refused where events were recorded under shifted ones.
DO $$
DECLARE
    v_function oid;
BEGIN
    IF eventstore.shift_v1() > 0 THEN
        RAISE EXCEPTION 'this store was restored from a dump: without revision v0009 its events would run backwards';
    END IF;
    FOR v_function IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace = 'eventstore'::regnamespace
        AND p.prosrc ~ 'eventstore\.(current_xid|snapshot)_v1\(\)'
    LOOP
        EXECUTE replace(replace(pg_get_functiondef(v_function), 'eventstore.current_xid_v1()', 'pg_current_xact_id()'),
            'eventstore.snapshot_v1()', 'pg_current_snapshot()');
    END LOOP;
    IF to_regclass('eventstore.privilege') IS NOT NULL THEN
        EXECUTE $matrix$
            DELETE FROM eventstore.privilege WHERE object IN
                ('shift_v1', 'current_xid_v1', 'snapshot_v1', 'horizon_v1', 'restored_v1', 'eventstore.era')
        $matrix$;
    END IF;
END $$;
ALTER TABLE eventstore.event ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
DROP FUNCTION eventstore.horizon_v1, eventstore.snapshot_v1, eventstore.current_xid_v1, eventstore.shift_v1, eventstore.restored_v1;
DROP TABLE eventstore.era;
