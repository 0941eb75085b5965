-- Appends of fewer steps: what a group usually is takes a short way, and everything else goes on through append_v2.

-- append_v2 with an array a column of the parts as well, and in few statements for what is usual: nothing known already, every stream
-- once and at its expected version, no condition. Everything else is handed to append_v2, under the same locks and before anything was
-- written, so an unusual call costs a little more and says the same. All rules, errors and answers are those of append_v2.
-- p_requests, p_streams, p_expected, p_counts: an entry a part, in the order of the events; a request's parts lie side by side.
-- Elements are picked by number because plpgsql holds arrays taken apart; as a table of eight columns each would be copied once more.
CREATE FUNCTION eventstore.append_v3(
    p_requests integer[], p_streams text[], p_expected bigint[], p_counts integer[],
    p_ids uuid[], p_types text[], p_versions integer[], p_data jsonb[],
    p_metadata jsonb[] DEFAULT NULL, p_occurred timestamptz[] DEFAULT NULL, p_tags text[] DEFAULT NULL, p_conditions json DEFAULT NULL
) RETURNS TABLE (part integer, code text, version bigint, xid bigint, "position" bigint, detail text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_parts CONSTANT integer := cardinality(p_streams);
    v_events CONSTANT integer := cardinality(p_ids);
    v_lone CONSTANT boolean := v_parts = 1;
    v_had CONSTANT xid8 := pg_current_xact_id_if_assigned();
    -- conditions, and tags that may come too late, are judged by append_v2
    v_usual boolean := p_conditions IS NULL AND (p_tags IS NULL OR v_had IS NULL);
    v_known integer; v_keys integer; v_new integer; v_done integer := 0; v_rows integer; v_locked text;
    v_found bigint[]; v_upto integer[]; v_shift bigint[]; v_part integer[]; v_positions bigint[];
    v_me xid8; v_now timestamptz;
BEGIN
    IF v_parts IS DISTINCT FROM cardinality(p_requests) OR v_parts IS DISTINCT FROM cardinality(p_expected)
        OR v_parts IS DISTINCT FROM cardinality(p_counts) OR v_parts = 0 OR 1 > ANY (p_counts) OR v_events <> ANY (ARRAY[cardinality(p_types),
        cardinality(p_versions), cardinality(p_data), cardinality(p_metadata), cardinality(p_occurred), cardinality(p_tags)])
        OR v_events <> (CASE WHEN v_lone THEN p_counts[1] ELSE (SELECT sum(c.n) FROM unnest(p_counts) AS c (n)) END) THEN
        RAISE EXCEPTION '% parts, % events, and columns of other lengths, or a part without events', v_parts, v_events
            USING ERRCODE = '22023';
    END IF;
    -- The keys of lock_v1, in its order. As many keys as streams = no stream comes twice; a chance meeting goes the long way.
    IF v_usual AND p_tags IS NOT NULL THEN
        PERFORM eventstore.lock_v1(p_streams, p_types, p_tags, NULL);
        v_usual := v_parts = (SELECT count(DISTINCT s.name) FROM unnest(p_streams) AS s (name));
    ELSIF v_usual THEN
        IF v_lone THEN
            v_locked := pg_advisory_xact_lock(1919247972, hashtext(p_streams[1]))::text;
        ELSE
            SELECT count(pg_advisory_xact_lock(1919247972, k.key)::text) INTO v_keys
                FROM (SELECT DISTINCT hashtext(s.name) AS key FROM unnest(p_streams) AS s (name) ORDER BY 1) AS k;
            v_usual := v_keys = v_parts;
        END IF;
        v_locked := pg_advisory_xact_lock_shared(1919247991, 0)::text;
        IF p_types[1] = ALL (p_types) THEN
            v_locked := pg_advisory_xact_lock_shared(1919247993, hashtext(p_types[1]))::text;
        ELSE
            PERFORM pg_advisory_xact_lock_shared(1919247993, k.key)
                FROM (SELECT DISTINCT hashtext(y.type) AS key FROM unnest(p_types) AS y (type) ORDER BY 1) AS k;
        END IF;
    END IF;
    IF v_usual THEN
        -- The versions first, the ids after them: so nobody is told "wrong version" whose own events raised it.
        IF v_lone THEN
            v_found := ARRAY[(SELECT s.version FROM eventstore.stream AS s WHERE s.name = p_streams[1])];
        ELSE
            v_found := ARRAY(SELECT (SELECT s.version FROM eventstore.stream AS s WHERE s.name = p.name) FROM unnest(p_streams) AS p (name));
        END IF;
        SELECT count(*) INTO v_known FROM eventstore.event AS e WHERE e.event_id = ANY (p_ids);
        v_usual := v_known = 0 AND (-1 = ALL (p_expected) OR NOT EXISTS (
            SELECT FROM unnest(p_expected, v_found) AS p (x, found)
            WHERE NOT (p.x = -1 OR (p.x = -2 AND p.found IS NOT NULL) OR p.x = coalesce(p.found, 0))));
    END IF;
    IF NOT v_usual THEN
        RETURN QUERY SELECT a.part, a.code, a.version, a.xid, a.position, a.detail FROM eventstore.append_v2(
            (SELECT json_agg(json_build_object('r', p.r, 's', p.s, 'x', p.x, 'n', p.n) ORDER BY p.i)
                FROM unnest(p_requests, p_streams, p_expected, p_counts) WITH ORDINALITY AS p (r, s, x, n, i)),
            p_ids, p_types, p_versions, p_data, p_metadata, p_occurred, p_tags, p_conditions) AS a;
        RETURN;
    END IF;

    v_me := eventstore.current_xid_v1();
    v_new := cardinality(array_positions(v_found, NULL));
    IF v_new < v_parts THEN
        UPDATE eventstore.stream AS s SET version = n.found + n.added, last_xid = v_me
            FROM (SELECT p.s, p.n AS added, p.found FROM unnest(p_streams, p_counts, v_found) AS p (s, n, found)
                WHERE p.found IS NOT NULL ORDER BY p.s) AS n
            WHERE s.name = n.s AND s.version = n.found AND s.last_xid <= v_me;
        GET DIAGNOSTICS v_done = ROW_COUNT;
    END IF;
    IF v_new > 0 THEN
        INSERT INTO eventstore.stream AS s (name, version, last_xid)
            SELECT p.s, p.n, v_me FROM unnest(p_streams, p_counts, v_found) AS p (s, n, found) WHERE p.found IS NULL ORDER BY p.s
            ON CONFLICT (name) DO NOTHING;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_done := v_done + v_rows;
    END IF;
    IF v_done <> v_parts THEN
        RAISE EXCEPTION 'another transaction appended to one of the streams first' USING ERRCODE = '40001';
    END IF;

    -- upto: a part's last event by its number in the call; shift: what makes such a number the version in the part's stream
    IF v_lone THEN
        v_upto := p_counts; v_shift := ARRAY[coalesce(v_found[1], 0)];
    ELSE
        IF v_events = v_parts THEN
            v_part := ARRAY(SELECT generate_series(1, v_parts)); v_upto := v_part;
        ELSE
            v_part := ARRAY(SELECT p.i FROM unnest(p_counts) WITH ORDINALITY AS p (n, i), generate_series(1, p.n) ORDER BY p.i);
            v_upto := ARRAY(SELECT sum(p.n) OVER (ORDER BY p.i) FROM unnest(p_counts) WITH ORDINALITY AS p (n, i) ORDER BY p.i);
        END IF;
        v_shift := ARRAY(SELECT coalesce(p.found, 0) + p.n - p.upto FROM unnest(v_found, p_counts, v_upto) AS p (found, n, upto));
    END IF;
    v_now := clock_timestamp();
    v_positions := ARRAY(SELECT nextval('eventstore.event_position_seq') FROM generate_series(1, v_events));
    INSERT INTO eventstore.event (position, xid, event_id, stream, version, type, schema_version, data, metadata,
            occurred_at, recorded_at, tags) OVERRIDING SYSTEM VALUE
        SELECT v_positions[e.n], v_me, p_ids[e.n], p_streams[e.part], v_shift[e.part] + e.n, p_types[e.n], p_versions[e.n], p_data[e.n],
            coalesce(p_metadata[e.n], '{}'), coalesce(p_occurred[e.n], v_now), v_now, p_tags[e.n]::text[]
        FROM (SELECT g.n, CASE WHEN v_lone THEN 1 ELSE v_part[g.n] END AS part FROM (SELECT generate_series(1, v_events) AS n) AS g) AS e;
    IF p_tags IS NOT NULL THEN
        INSERT INTO eventstore.tag (xid, position, tag, type)
            SELECT v_me, v_positions[e.n], g.tag, e.type
            FROM unnest(p_types, p_tags) WITH ORDINALITY AS e (type, tags, n), unnest(e.tags::text[]) AS g (tag);
    END IF;
    xid := v_me::text::bigint;
    IF v_lone THEN
        part := 1; version := v_shift[1] + v_events; position := v_positions[v_events];
        RETURN NEXT;
    ELSE
        RETURN QUERY SELECT g.i, NULL::text, v_shift[g.i] + v_upto[g.i], v_me::text::bigint, v_positions[v_upto[g.i]], NULL::text
            FROM (SELECT generate_series(1, v_parts) AS i) AS g;
    END IF;
END $$;

REVOKE ALL ON FUNCTION eventstore.append_v3 FROM PUBLIC;
INSERT INTO eventstore.privilege (kind, object, duty, privileges) VALUES ('function', 'append_v3', 'writer', 'EXECUTE');
SELECT eventstore.settle_roles_v1();
