-- Takes the grants of this database back; the roles stay, for other databases of the server may use them, and logins belong to them.
DO $$
DECLARE
    v_role text;
    v_schema text;
BEGIN
    FOR v_role IN SELECT d.role FROM eventstore.duty AS d JOIN pg_roles AS r ON r.rolname = d.role LOOP
        FOR v_schema IN SELECT n.nspname FROM pg_namespace AS n WHERE n.nspname IN ('eventstore', 'projections', 'privacy') LOOP
            CONTINUE WHEN v_role = (SELECT d.role FROM eventstore.duty AS d WHERE d.name = 'owner');
            EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', v_schema, v_role);
            EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA %I FROM %I', v_schema, v_role);
            EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', v_schema, v_role);
        END LOOP;
        BEGIN
            EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), v_role);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'REVOKE ALL ON DATABASE % FROM % is left to an administrator', current_database(), v_role;
        END;
        RAISE NOTICE 'role % stays, since other databases of the server may use it; DROP ROLE % when none does', v_role, v_role;
    END LOOP;
    BEGIN
        EXECUTE (SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %1$I REVOKE SELECT ON TABLES FROM %2$I;'
                'ALTER DEFAULT PRIVILEGES FOR ROLE %1$I REVOKE USAGE ON SCHEMAS FROM %2$I', p.role, d.role)
            FROM eventstore.duty AS p JOIN pg_roles AS a ON a.rolname = p.role, eventstore.duty AS d JOIN pg_roles AS b ON b.rolname = d.role
            WHERE p.name = 'projector' AND d.name = 'reader');
    EXCEPTION WHEN insufficient_privilege OR null_value_not_allowed THEN
        RAISE NOTICE 'default privileges are left as they are';
    END;
    PERFORM eventstore.take_over_v1(current_user);
END $$;
DROP TRIGGER IF EXISTS event_chained ON eventstore.event;
DROP TRIGGER audit_append_only ON projections.audit;
DROP FUNCTION eventstore.stop_chain_v1;
DROP FUNCTION eventstore.start_chain_v1;
DROP FUNCTION eventstore.seal_chain_v1;
DROP FUNCTION eventstore.extend_chain_v1;
DROP AGGREGATE eventstore.chain_v1(bytea, bytea);
DROP FUNCTION eventstore.link_v1;
DROP FUNCTION eventstore.content_v1;
DROP TABLE eventstore.chain;
DROP TABLE eventstore.chained;
DROP FUNCTION eventstore.import_v3;
DROP FUNCTION eventstore.prepare_import_v1;
DROP FUNCTION eventstore.settle_roles_v1;
DROP FUNCTION eventstore.grant_duties_v1;
DROP FUNCTION eventstore.take_over_v1;
DROP FUNCTION eventstore.make_roles_v1;
DROP TABLE eventstore.privilege;
DROP TABLE eventstore.duty;
