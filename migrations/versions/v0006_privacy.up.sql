-- A schema of its own, so that the keys can live in another database, with other people and other backups, than the events.
CREATE SCHEMA privacy;

-- A subject's row stays when its key is gone: that it was forgotten must be known for ever, or a late event would make a new key.
CREATE TABLE privacy.subject_key (
    key_id uuid PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    forgotten_at timestamptz,
    subject text COLLATE "C" NOT NULL CONSTRAINT subject_once UNIQUE CHECK (subject <> ''),
    master text COLLATE "C",
    wrapped bytea,
    CHECK ((wrapped IS NULL) = (forgotten_at IS NOT NULL)),
    CHECK ((wrapped IS NULL) = (master IS NULL))
);
COMMENT ON TABLE privacy.subject_key IS 'A key a subject, wrapped under a master key that is not in the database; none once forgotten.';
REVOKE ALL ON SCHEMA privacy FROM PUBLIC;

-- Finds all events of a subject by the id of its key. Partial: an event without personal data costs the look at its metadata only.
CREATE INDEX event_subject_key ON eventstore.event ((metadata ->> 'subjectkey')) WHERE metadata ? 'subjectkey';

-- Which rows of a generation were made from an event that had lost personal data: a comparison with rows that were made before
-- the loss finds them different, and this says why.
CREATE TABLE projections.redacted (
    generation bigint NOT NULL REFERENCES projections.generation (id),
    table_name text NOT NULL,
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (generation, table_name, key)
);

-- Database roles that are bound to one tenant, whatever their session says.
CREATE TABLE eventstore.tenant_role (
    role name PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant ~ '^[a-z0-9][a-z0-9_-]{0,62}$')
);
COMMENT ON TABLE eventstore.tenant_role IS 'Login roles that see one tenant only; others say whom they act for by refold.tenant.';

-- The tenant that this session acts for, NULL for none. Policies call it in a sub-select, so that it runs once a statement.
CREATE FUNCTION eventstore.tenant_v1() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN coalesce(
    (SELECT r.tenant FROM eventstore.tenant_role AS r WHERE r.role = session_user),
    nullif(current_setting('refold.tenant', true), '')
);
GRANT EXECUTE ON FUNCTION eventstore.tenant_v1 TO PUBLIC;

-- Security by row on events is for bound roles alone: a policy each, with the tenant's prefix as a constant, restrictive, so that none
-- that is added later can widen it. For everybody else it is the constant true, which leaves no trace in a plan: a condition here
-- let the planner sort what the relay reads instead of following the index. Not forced, so the append functions run as ever.
ALTER TABLE eventstore.event ENABLE ROW LEVEL SECURITY;
CREATE POLICY event_readable ON eventstore.event FOR SELECT USING (true);
ALTER TABLE eventstore.stream ENABLE ROW LEVEL SECURITY;
CREATE POLICY stream_readable ON eventstore.stream FOR SELECT USING (true);

-- Bind a login to a tenant: it may read that tenant's events and, as a reader, its rows, whatever its session says. The owner's work.
CREATE FUNCTION eventstore.bind_role_v1(p_role name, p_tenant text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_table text;
BEGIN
    PERFORM eventstore.unbind_role_v1(p_role);
    INSERT INTO eventstore.tenant_role (role, tenant) VALUES (p_role, p_tenant);
    FOREACH v_table IN ARRAY ARRAY['event', 'stream'] LOOP
        EXECUTE format('CREATE POLICY %I ON eventstore.%I AS RESTRICTIVE FOR SELECT TO %I USING (starts_with(%I, %L))',
            'bound_' || p_role, v_table, p_role, CASE v_table WHEN 'event' THEN 'stream' ELSE 'name' END, '@' || p_tenant || '/');
        EXECUTE format('GRANT SELECT ON eventstore.%I TO %I', v_table, p_role);
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA eventstore TO %I', p_role);
END $$;

-- Take the binding back, with what it granted.
CREATE FUNCTION eventstore.unbind_role_v1(p_role name) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_table text;
BEGIN
    IF NOT EXISTS (SELECT FROM eventstore.tenant_role AS r WHERE r.role = p_role) THEN
        RETURN;
    END IF;
    FOREACH v_table IN ARRAY ARRAY['event', 'stream'] LOOP
        EXECUTE format('REVOKE SELECT ON eventstore.%I FROM %I', v_table, p_role);
        EXECUTE format('DROP POLICY IF EXISTS %I ON eventstore.%I', 'bound_' || p_role, v_table);
    END LOOP;
    EXECUTE format('REVOKE USAGE ON SCHEMA eventstore FROM %I', p_role);
    DELETE FROM eventstore.tenant_role AS r WHERE r.role = p_role;
END $$;
