-- The catalogue of event schemas: what each version of each type looked like when it was first written, for ever.
CREATE TABLE eventstore.schema (
    type        text COLLATE "C" NOT NULL CHECK (type <> ''),
    version     integer          NOT NULL CHECK (version > 0),
    schema      json             NOT NULL CHECK (json_typeof(schema) = 'object'),
    fingerprint text             NOT NULL CHECK (fingerprint <> ''),
    release     text             NOT NULL DEFAULT '',
    recorded_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (type, version)
);
COMMENT ON TABLE eventstore.schema IS 'JSON Schema of every recorded version of every event type; rows are added and never changed.';
COMMENT ON COLUMN eventstore.schema.fingerprint IS 'equal for schemas that mean the same, whatever their notes and the names of their classes';
COMMENT ON COLUMN eventstore.schema.release IS 'what recorded it, as its operator named it';

CREATE TRIGGER schema_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.schema
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change_v1();
ALTER TABLE eventstore.schema ENABLE ALWAYS TRIGGER schema_append_only;

-- Record p_schemas (JSON array of {type, version, schema, fingerprint}) as part of p_release and give how many were new. A version
-- that is recorded with the same fingerprint is passed over; with another one RF041 refuses all of them (DETAIL = type and version),
-- whoever came first, so two releases that record at once can't both believe they own a version.
CREATE FUNCTION eventstore.record_schemas_v1(p_schemas json, p_release text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_new integer;
    v_taken text;
BEGIN
    INSERT INTO eventstore.schema AS s (type, version, schema, fingerprint, release)
    SELECT g.type, g.version, g.schema, g.fingerprint, p_release
        FROM json_to_recordset(p_schemas) AS g (type text, version integer, schema json, fingerprint text)
        ORDER BY g.type, g.version
        ON CONFLICT (type, version) DO NOTHING;
    GET DIAGNOSTICS v_new = ROW_COUNT;
    SELECT string_agg(format('%s version %s', s.type, s.version), ', ' ORDER BY s.type, s.version) INTO v_taken
        FROM json_to_recordset(p_schemas) AS g (type text, version integer, fingerprint text)
        JOIN eventstore.schema AS s ON s.type = g.type AND s.version = g.version
        WHERE s.fingerprint <> g.fingerprint;
    IF v_taken IS NOT NULL THEN
        RAISE EXCEPTION 'recorded already with another schema: %', v_taken USING ERRCODE = 'RF041', DETAIL = v_taken,
            HINT = 'A version''s schema never changes: raise the version and add an upcaster.';
    END IF;
    RETURN v_new;
END $$;
REVOKE ALL ON FUNCTION eventstore.record_schemas_v1 FROM PUBLIC;
