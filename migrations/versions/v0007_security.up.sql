-- Who may do what: five duties, each a role of the server that logins are members of, and a matrix of what each may touch.

CREATE TABLE eventstore.duty (
    name text PRIMARY KEY CHECK (name IN ('owner', 'writer', 'relay', 'projector', 'reader')),
    role text NOT NULL UNIQUE
);
COMMENT ON TABLE eventstore.duty IS 'Which role of the server has which duty in this database.';
-- Roles belong to the whole server: databases that set no prefix of their own share them.
INSERT INTO eventstore.duty (name, role)
SELECT d.name, coalesce(nullif(current_setting('refold.role_prefix', true), ''), 'refold') || '_' || d.name
FROM unnest(ARRAY['owner', 'writer', 'relay', 'projector', 'reader']) AS d (name);

-- A later revision that adds a table or a function adds its rows here; settle_roles_v1 runs at the end of every migration.
-- What only the owner touches has the row (owner, ALL), so that a forgotten object is told from a closed one.
CREATE TABLE eventstore.privilege (
    kind text NOT NULL CHECK (kind IN ('database', 'schema', 'table', 'function')),
    object text NOT NULL,
    duty text NOT NULL REFERENCES eventstore.duty (name),
    privileges text NOT NULL,
    PRIMARY KEY (kind, object, duty)
);
COMMENT ON TABLE eventstore.privilege IS 'What each duty may do with each object of our schemas.';
INSERT INTO eventstore.privilege (kind, object, duty, privileges)
SELECT m.kind, o.object, d.duty, m.privileges
FROM (VALUES
    ('database', 'owner', 'CONNECT, TEMPORARY', ''),
    ('database', 'writer', 'CONNECT, TEMPORARY', ''),
    ('database', 'projector', 'CONNECT, CREATE, TEMPORARY', ''),
    ('database', 'relay reader', 'CONNECT', ''),
    ('schema', 'writer relay projector reader', 'USAGE', 'eventstore'),
    ('schema', 'projector reader', 'USAGE', 'projections'),
    ('schema', 'writer projector', 'USAGE', 'privacy'),
    ('table', 'writer relay projector reader', 'SELECT', 'eventstore.eventstore_revision eventstore.duty'),
    ('table', 'writer relay', 'SELECT',
        'eventstore.event eventstore.stream eventstore.tag eventstore.chain eventstore.chained eventstore.schema'),
    ('table', 'writer', 'SELECT, INSERT, UPDATE, DELETE',
        'eventstore.snapshot eventstore.process eventstore.process_instance eventstore.task'),
    ('table', 'writer', 'SELECT, INSERT', 'privacy.subject_key'),
    ('table', 'projector', 'SELECT', 'privacy.subject_key'),
    ('table', 'projector', 'SELECT, INSERT, UPDATE', 'projections.generation projections.pointer projections.checkpoint'),
    ('table', 'reader', 'SELECT', 'projections.generation projections.pointer projections.checkpoint'),
    ('table', 'projector', 'SELECT, INSERT, UPDATE, DELETE', 'projections.parked projections.redacted'),
    ('table', 'projector', 'SELECT, INSERT', 'projections.audit'),
    ('table', 'owner', 'ALL', 'eventstore.privilege eventstore.tenant_role eventstore.whole'),
    ('function', 'writer', 'EXECUTE', 'append_v1 append_v2 prepare_import_v1 import_v3 record_schemas_v1'),
    ('function', 'writer relay', 'EXECUTE',
        'content_v1 link_v1 chain_v1 marker_v1 seen_v1 unseen_from_v1 rarest_v1 matching_v1'),
    ('function', 'writer relay projector reader', 'EXECUTE', 'tenant_v1'),
    ('function', 'owner', 'ALL',
        'recorded_v1 import_v1 import_v2 refuse_change_v1 lock_v1 known_v1 refused_v1 guard_tags_v1 '
        'bind_role_v1 unbind_role_v1 make_roles_v1 settle_roles_v1 grant_duties_v1 take_over_v1 extend_chain_v1 seal_chain_v1 start_chain_v1 stop_chain_v1')
) AS m (kind, duties, privileges, objects)
CROSS JOIN regexp_split_to_table(m.duties, ' ') AS d (duty)
CROSS JOIN regexp_split_to_table(m.objects, ' ') AS o (object);

-- Make the roles that are missing. False = this user may not, and the notice says what to do; nothing else depends on it.
-- Others may make the same roles at the same time, for another database: the loser of that race finds them made.
CREATE FUNCTION eventstore.make_roles_v1() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_role text;
    v_super CONSTANT boolean := (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user);
BEGIN
    FOR v_role IN SELECT d.role FROM eventstore.duty AS d ORDER BY d.name LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = v_role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            IF NOT v_super THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', v_role);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % was not made: % may not create roles', v_role, current_user
                    USING HINT = 'Let an administrator run what `eventstore roles --sql` prints; until then one login does all.';
                RETURN false;
        END;
    END LOOP;
    RETURN true;
END $$;

-- Give every object of our schemas to the role of owners, so that functions which run with their owner's rights never run
-- with those of an administrator. A user who is no member of that role keeps them.
CREATE FUNCTION eventstore.take_over_v1(p_owner text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_statement text;
BEGIN
    FOR v_statement IN
        SELECT format('ALTER SCHEMA %I OWNER TO %I', n.nspname, p_owner) FROM pg_namespace AS n
            WHERE n.nspname IN ('eventstore', 'projections', 'privacy') AND n.nspowner <> p_owner::regrole
        UNION ALL
        SELECT format('ALTER %s %s OWNER TO %I', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE'
                ELSE 'TABLE' END, c.oid::regclass, p_owner)
            FROM pg_class AS c WHERE c.relnamespace::regnamespace::text IN ('eventstore', 'projections', 'privacy')
            AND c.relkind IN ('r', 'p', 'v', 'S', 'c') AND c.relowner <> p_owner::regrole
            AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, p_owner) FROM pg_proc AS p
            WHERE p.pronamespace::regnamespace::text IN ('eventstore', 'projections', 'privacy') AND p.proowner <> p_owner::regrole
    LOOP
        EXECUTE v_statement;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'the tables and functions stay with %: %', current_user, SQLERRM
        USING HINT = format('Let an administrator GRANT %I TO %I, then run `eventstore roles --apply`.', p_owner, current_user);
END $$;

-- Make the grants of one schema exactly what the matrix says, for the roles of the matrix and for PUBLIC; others keep theirs.
CREATE FUNCTION eventstore.grant_duties_v1(p_schema text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_roles CONSTANT text := (SELECT string_agg(quote_ident(d.role), ', ') FROM eventstore.duty AS d WHERE d.name <> 'owner');
    v_statement text;
BEGIN
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC, %s', p_schema, v_roles);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC, %s', p_schema, v_roles);
    EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA %I FROM PUBLIC, %s', p_schema, v_roles);
    FOR v_statement IN
        SELECT format('GRANT %s ON SCHEMA %I TO %I', p.privileges, p_schema, d.role)
            FROM eventstore.privilege AS p JOIN eventstore.duty AS d ON d.name = p.duty
            WHERE p.kind = 'schema' AND p.object = p_schema
        UNION ALL
        SELECT format('GRANT %s ON TABLE %s TO %I', p.privileges, c.oid::regclass, d.role)
            FROM eventstore.privilege AS p JOIN eventstore.duty AS d ON d.name = p.duty
            JOIN pg_class AS c ON c.oid = to_regclass(p.object)
            WHERE p.kind = 'table' AND p.duty <> 'owner' AND c.relnamespace = p_schema::regnamespace
        UNION ALL
        SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I', f.oid::regprocedure, d.role)
            FROM eventstore.privilege AS p JOIN eventstore.duty AS d ON d.name = p.duty
            JOIN pg_proc AS f ON f.pronamespace = p_schema::regnamespace AND p.object IN (f.proname, p_schema || '.' || f.proname)
            WHERE p.kind = 'function' AND p.duty <> 'owner'
    LOOP
        EXECUTE v_statement;
    END LOOP;
END $$;

-- Make owners and grants in this database what the matrix says; safe to repeat. False = the roles are missing.
-- What projectors make from now on (schemas, tables, views of generations) can be read by readers at once, by default privileges.
CREATE FUNCTION eventstore.settle_roles_v1() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_role CONSTANT jsonb := (SELECT jsonb_object_agg(d.name, d.role) FROM eventstore.duty AS d);
    v_statement text;
BEGIN
    IF EXISTS (SELECT FROM eventstore.duty AS d WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = d.role)) THEN
        REVOKE ALL ON ALL ROUTINES IN SCHEMA eventstore FROM PUBLIC;
        RETURN false;
    END IF;
    PERFORM eventstore.take_over_v1(v_role ->> 'owner');
    PERFORM eventstore.grant_duties_v1(n.nspname) FROM pg_namespace AS n WHERE n.nspname IN ('eventstore', 'projections', 'privacy');
    FOR v_statement IN
        SELECT format('GRANT %s ON DATABASE %I TO %I', p.privileges, current_database(), d.role)
            FROM eventstore.privilege AS p JOIN eventstore.duty AS d ON d.name = p.duty WHERE p.kind = 'database'
        UNION ALL
        SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT %s TO %I', v_role ->> 'projector', g.privilege, v_role ->> 'reader')
            FROM (VALUES ('SELECT ON TABLES'), ('USAGE ON SCHEMAS')) AS g (privilege)
        UNION ALL
        SELECT format(g.privilege, n.nspname, v_role ->> 'reader')
            FROM projections.generation AS p JOIN pg_namespace AS n ON n.nspname = p.schema_name,
            (VALUES ('GRANT USAGE ON SCHEMA %I TO %I'), ('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I')) AS g (privilege)
    LOOP
        BEGIN
            EXECUTE v_statement;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'left undone: %', v_statement USING HINT = 'Let an administrator run it.';
        END;
    END LOOP;
    RETURN true;
END $$;

-- What was recorded is never changed; neither is who moved which projection, nor a link of a chain.
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON projections.audit
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change_v1();
ALTER TABLE projections.audit ENABLE ALWAYS TRIGGER audit_append_only;

-- Where a bulk import lands. The table belongs to the owner of this function, so that whoever imports can put nothing on it
-- (a rule, a trigger, an index on an expression) that import_v3 would then run with the owner's rights. Anyone may add rows,
-- which is anyone in this session: nobody else sees a temporary table.
CREATE FUNCTION eventstore.prepare_import_v1() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
        n bigint NOT NULL,
        event_id uuid NOT NULL,
        stream text COLLATE "C" NOT NULL,
        type text NOT NULL,
        schema_version integer NOT NULL,
        occurred_at timestamptz,
        data jsonb NOT NULL,
        metadata jsonb NOT NULL,
        tags text[]
    ) ON COMMIT DELETE ROWS;
    IF NOT EXISTS (
        SELECT FROM pg_class AS c WHERE c.oid = 'pg_temp.incoming'::regclass AND c.relkind = 'r' AND c.relowner = current_user::regrole
    ) THEN
        RAISE EXCEPTION 'this session has a temporary table of its own by the name of incoming'
            USING ERRCODE = 'RF003', HINT = 'Drop it, or import over another connection.';
    END IF;
    GRANT INSERT ON pg_temp.incoming TO PUBLIC;
END $$;

-- Record what was copied into the table of prepare_import_v1, with the owner's rights: see import_v2 for what it does.
CREATE FUNCTION eventstore.import_v3(OUT recorded bigint, OUT known bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM eventstore.prepare_import_v1();
    SELECT i.recorded, i.known INTO import_v3.recorded, import_v3.known FROM eventstore.import_v2() AS i;
END $$;

-- Chains of hashes, for those who want to prove that nothing was changed: one a stream, of its events in the order of versions.
-- Beside the events, and by a trigger that is made when a chain is started, so that whoever wants none pays nothing (a trigger
-- that is only disabled would still collect every row).
CREATE TABLE eventstore.chained (
    prefix text COLLATE "C" PRIMARY KEY,
    complete boolean NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE eventstore.chained IS 'Streams whose names begin so are chained; complete = from version 1 on, every one of them.';
CREATE TABLE eventstore.chain (
    version bigint NOT NULL,
    stream text COLLATE "C" NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (stream, version)
);
COMMENT ON TABLE eventstore.chain IS 'SHA-256 of the hash before and of what the event says; see content_v1.';
CREATE TRIGGER chain_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.chain
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change_v1();
ALTER TABLE eventstore.chain ENABLE ALWAYS TRIGGER chain_append_only;

-- What an event says, as bytes: a JSON array as PostgreSQL writes jsonb, which is one text for one value. Times in microseconds.
-- Where it lies among others (xid, position) is left out, since the order within a stream is its versions.
CREATE FUNCTION eventstore.content_v1(
    p_stream text, p_version bigint, p_id uuid, p_type text, p_schema integer, p_data jsonb, p_metadata jsonb, p_tags text[],
    p_occurred timestamptz, p_recorded timestamptz
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT convert_to(jsonb_build_array(p_stream, p_version, p_id, p_type, p_schema, p_data, p_metadata, p_tags,
        (extract(epoch FROM p_occurred) * 1000000)::bigint, (extract(epoch FROM p_recorded) * 1000000)::bigint)::text, 'UTF8')
$$;

-- The next link: of the chain so far, or of p_before where this is the first link that is looked at.
CREATE FUNCTION eventstore.link_v1(p_chain bytea, p_before bytea, p_content bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE
PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN sha256(coalesce(p_chain, p_before, '') || p_content);
END $$;
CREATE AGGREGATE eventstore.chain_v1(p_before bytea, p_content bytea) (SFUNC = eventstore.link_v1, STYPE = bytea);

-- Add the links of what one statement recorded, whichever function recorded it.
CREATE FUNCTION eventstore.extend_chain_v1() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO eventstore.chain (stream, version, hash)
    SELECT a.stream, a.version, eventstore.chain_v1(
            (SELECT c.hash FROM eventstore.chain AS c WHERE c.stream = a.stream AND c.version = a.version - 1),
            eventstore.content_v1(a.stream, a.version, a.event_id, a.type, a.schema_version, a.data, a.metadata, a.tags,
                a.occurred_at, a.recorded_at)
        ) OVER (PARTITION BY a.stream ORDER BY a.version)
        FROM added AS a WHERE EXISTS (SELECT FROM eventstore.chained AS p WHERE starts_with(a.stream, p.prefix));
    RETURN NULL;
END $$;

-- Link the events that are there already, of streams that have no chain yet; appends wait meanwhile. Gives how many.
CREATE FUNCTION eventstore.seal_chain_v1(p_prefix text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_count bigint;
BEGIN
    INSERT INTO eventstore.chain (stream, version, hash)
    SELECT e.stream, e.version, eventstore.chain_v1(NULL, eventstore.content_v1(e.stream, e.version, e.event_id, e.type,
            e.schema_version, e.data, e.metadata, e.tags, e.occurred_at, e.recorded_at)) OVER (PARTITION BY e.stream ORDER BY e.version)
        FROM eventstore.event AS e WHERE starts_with(e.stream, p_prefix)
        AND NOT EXISTS (SELECT FROM eventstore.chain AS c WHERE c.stream = e.stream);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- Chain the streams whose names begin with p_prefix ('' = all) from now on, and what they hold already when p_history is true.
-- Gives how many events were linked. The owner's work.
CREATE FUNCTION eventstore.start_chain_v1(p_prefix text, p_history boolean) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_count bigint := 0;
    v_complete boolean;
BEGIN
    LOCK TABLE eventstore.event IN SHARE ROW EXCLUSIVE MODE;
    IF p_history THEN
        v_count := eventstore.seal_chain_v1(p_prefix);
    END IF;
    v_complete := NOT EXISTS (SELECT FROM eventstore.stream AS s WHERE starts_with(s.name, p_prefix)
        AND NOT EXISTS (SELECT FROM eventstore.chain AS c WHERE c.stream = s.name AND c.version = 1));
    INSERT INTO eventstore.chained AS k (prefix, complete) VALUES (p_prefix, v_complete)
        ON CONFLICT (prefix) DO UPDATE SET complete = excluded.complete;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'eventstore.event'::regclass AND t.tgname = 'event_chained') THEN
        CREATE TRIGGER event_chained AFTER INSERT ON eventstore.event REFERENCING NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION eventstore.extend_chain_v1();
        ALTER TABLE eventstore.event ENABLE ALWAYS TRIGGER event_chained;
    END IF;
    RETURN v_count;
END $$;

-- Chain the streams of p_prefix no more and drop their links, for a chain with a hole proves nothing. False = it was not chained.
CREATE FUNCTION eventstore.stop_chain_v1(p_prefix text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE eventstore.event IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM eventstore.chained AS k WHERE k.prefix = p_prefix;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    ALTER TABLE eventstore.chain DISABLE TRIGGER chain_append_only;
    DELETE FROM eventstore.chain AS c WHERE starts_with(c.stream, p_prefix)
        AND NOT EXISTS (SELECT FROM eventstore.chained AS k WHERE starts_with(c.stream, k.prefix));
    ALTER TABLE eventstore.chain ENABLE ALWAYS TRIGGER chain_append_only;
    IF NOT EXISTS (SELECT FROM eventstore.chained) THEN
        DROP TRIGGER event_chained ON eventstore.event;
    END IF;
    RETURN true;
END $$;

SELECT eventstore.make_roles_v1();
SELECT eventstore.settle_roles_v1();
