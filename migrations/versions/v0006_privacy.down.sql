-- Going back would destroy the keys and with them every personal field, so only a store without keys can be taken back.
DO $$
BEGIN
    IF EXISTS (SELECT FROM privacy.subject_key) THEN
        RAISE EXCEPTION 'privacy.subject_key holds keys; what is sealed with them would be lost'
            USING ERRCODE = 'RF003', HINT = 'Drop the database instead, if that is what you want.';
    END IF;
END $$;
SELECT eventstore.unbind_role_v1(r.role) FROM eventstore.tenant_role AS r;
DROP FUNCTION eventstore.bind_role_v1;
DROP FUNCTION eventstore.unbind_role_v1;
DROP POLICY stream_readable ON eventstore.stream;
ALTER TABLE eventstore.stream DISABLE ROW LEVEL SECURITY;
DROP POLICY event_readable ON eventstore.event;
ALTER TABLE eventstore.event DISABLE ROW LEVEL SECURITY;
DROP FUNCTION eventstore.tenant_v1;
DROP TABLE eventstore.tenant_role;
DROP TABLE projections.redacted;
DROP INDEX eventstore.event_subject_key;
DROP SCHEMA privacy CASCADE;
