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

-- Who acts for a tenant reads its streams only; who acts for none reads what it was granted. Restrictive, so that no policy that is
-- added later can widen it. Not forced: the owner, and with it the append functions and the relay, pays nothing.
ALTER TABLE eventstore.event ENABLE ROW LEVEL SECURITY;
CREATE POLICY event_readable ON eventstore.event FOR SELECT USING (true);
CREATE POLICY event_of_tenant ON eventstore.event AS RESTRICTIVE FOR SELECT USING (
    (SELECT eventstore.tenant_v1()) IS NULL OR (SELECT eventstore.tenant_v1()) = '*'
    OR starts_with(stream, '@' || (SELECT eventstore.tenant_v1()) || '/')
);
ALTER TABLE eventstore.stream ENABLE ROW LEVEL SECURITY;
CREATE POLICY stream_readable ON eventstore.stream FOR SELECT USING (true);
CREATE POLICY stream_of_tenant ON eventstore.stream AS RESTRICTIVE FOR SELECT USING (
    (SELECT eventstore.tenant_v1()) IS NULL OR (SELECT eventstore.tenant_v1()) = '*'
    OR starts_with(name, '@' || (SELECT eventstore.tenant_v1()) || '/')
);
