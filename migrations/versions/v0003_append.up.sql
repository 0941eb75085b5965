-- Appends of several requests in one call, to several streams each, and on conditions over types and tags.
ALTER TABLE eventstore.event ADD COLUMN tags text[] COLLATE "C";
COMMENT ON COLUMN eventstore.event.tags IS 'What the event is about, sorted; NULL, which takes no space, when it has none.';
CREATE INDEX event_type ON eventstore.event (type, xid, position);

-- Tags beside their events, so that a query by tags reads an index and nothing else.
CREATE TABLE eventstore.tag (
    xid xid8 NOT NULL,
    position bigint NOT NULL,
    tag text COLLATE "C" NOT NULL CHECK (tag <> '' AND length(tag) <= 256),
    type text NOT NULL
);
CREATE UNIQUE INDEX tag_order ON eventstore.tag (tag, xid, position) INCLUDE (type);
COMMENT ON TABLE eventstore.tag IS 'One row a tag of an event; written by append_v2 and import_v2, never changed.';

-- Always empty: what matters is how it is locked. Conditional appends take SHARE, imports ROW EXCLUSIVE, so that each runs beside
-- its like and never beside the other; advisory locks have no such pair of modes. No vacuum waits here, as it would on the tables.
CREATE TABLE eventstore.whole ();
COMMENT ON TABLE eventstore.whole IS 'Holds nothing; its lock keeps imports and conditional appends apart.';

CREATE TRIGGER tag_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON eventstore.tag
    FOR EACH STATEMENT EXECUTE FUNCTION eventstore.refuse_change_v1();
ALTER TABLE eventstore.tag ENABLE ALWAYS TRIGGER tag_append_only;

-- A marker is what a reader has seen: the snapshot it read with. Nothing shorter is exact, because transactions commit in
-- another order than they get their ids in.
CREATE FUNCTION eventstore.marker_v1() RETURNS text LANGUAGE sql STABLE AS $$ SELECT pg_current_snapshot()::text $$;
CREATE FUNCTION eventstore.seen_v1(p_xid xid8, p_marker text) RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT pg_visible_in_snapshot(p_xid, p_marker::pg_snapshot) $$;
CREATE FUNCTION eventstore.unseen_from_v1(p_marker text) RETURNS xid8 LANGUAGE sql STABLE AS
    $$ SELECT pg_snapshot_xmin(p_marker::pg_snapshot) $$;

-- p_tags with the rarest first, as far as 64 entries of each tell: where a search begins, and what a condition locks.
CREATE FUNCTION eventstore.rarest_v1(p_tags text[]) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF coalesce(cardinality(p_tags), 0) < 2 THEN
        RETURN p_tags;
    END IF;
    RETURN ARRAY(
        SELECT g.tag FROM (SELECT DISTINCT u.tag FROM unnest(p_tags) AS u (tag)) AS g
        ORDER BY (SELECT count(*) FROM (SELECT FROM eventstore.tag AS t WHERE t.tag = g.tag LIMIT 64) AS few), g.tag COLLATE "C"
    );
END $$;

-- Where the events lie that have one of p_types (NULL = any type) and all of p_tags (NULL = whatever tags), and that p_marker
-- has not seen (NULL = all): at most p_limit (NULL = all), from the oldest on or the newest. Stable: one snapshot, the caller's.
CREATE FUNCTION eventstore.matching_v1(p_types text[], p_tags text[], p_marker text, p_limit bigint, p_newest boolean)
RETURNS TABLE (xid xid8, "position" bigint) LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_from CONSTANT xid8 := coalesce(eventstore.unseen_from_v1(p_marker), '0');
    v_tags CONSTANT text[] := eventstore.rarest_v1(p_tags);
    v_first CONSTANT text := v_tags[1];
    v_rest CONSTANT text[] := v_tags[2:];
    v_others CONSTANT integer := cardinality(v_rest);
BEGIN
    IF v_first IS NOT NULL THEN
        RETURN QUERY (
            SELECT t.xid, t.position FROM eventstore.tag AS t
            WHERE NOT p_newest AND t.tag = v_first AND t.xid >= v_from AND (p_types IS NULL OR t.type = ANY (p_types))
                AND (p_marker IS NULL OR NOT eventstore.seen_v1(t.xid, p_marker))
                AND (v_others = 0 OR v_others = (
                    SELECT count(*) FROM eventstore.tag AS x WHERE x.tag = ANY (v_rest) AND x.xid = t.xid AND x.position = t.position))
            ORDER BY t.xid, t.position LIMIT p_limit
        ) UNION ALL (
            SELECT t.xid, t.position FROM eventstore.tag AS t
            WHERE p_newest AND t.tag = v_first AND t.xid >= v_from AND (p_types IS NULL OR t.type = ANY (p_types))
                AND (p_marker IS NULL OR NOT eventstore.seen_v1(t.xid, p_marker))
                AND (v_others = 0 OR v_others = (
                    SELECT count(*) FROM eventstore.tag AS x WHERE x.tag = ANY (v_rest) AND x.xid = t.xid AND x.position = t.position))
            ORDER BY t.xid DESC, t.position DESC LIMIT p_limit
        );
    ELSIF p_types IS NOT NULL THEN
        -- one walk of the index a type, each ended by the limit; `= ANY` would read and sort all of them
        RETURN QUERY SELECT m.xid, m.position FROM unnest(p_types) AS y (type) CROSS JOIN LATERAL ((
            SELECT e.xid, e.position FROM eventstore.event AS e
            WHERE NOT p_newest AND e.type = y.type AND e.xid >= v_from AND (p_marker IS NULL OR NOT eventstore.seen_v1(e.xid, p_marker))
            ORDER BY e.xid, e.position LIMIT p_limit
        ) UNION ALL (
            SELECT e.xid, e.position FROM eventstore.event AS e
            WHERE p_newest AND e.type = y.type AND e.xid >= v_from AND (p_marker IS NULL OR NOT eventstore.seen_v1(e.xid, p_marker))
            ORDER BY e.xid DESC, e.position DESC LIMIT p_limit
        )) AS m;
    ELSE
        RETURN QUERY (
            SELECT e.xid, e.position FROM eventstore.event AS e
            WHERE NOT p_newest AND e.xid >= v_from AND (p_marker IS NULL OR NOT eventstore.seen_v1(e.xid, p_marker))
            ORDER BY e.xid, e.position LIMIT p_limit
        ) UNION ALL (
            SELECT e.xid, e.position FROM eventstore.event AS e
            WHERE p_newest AND e.xid >= v_from AND (p_marker IS NULL OR NOT eventstore.seen_v1(e.xid, p_marker))
            ORDER BY e.xid DESC, e.position DESC LIMIT p_limit
        );
    END IF;
END $$;

-- Lock what a call touches: streams for writing; the tags, the types and the whole for "I write these", or, for a condition,
-- for "nobody writes these": one tag an item is enough, since a matching event has all of them, and the rarest hinders least.
-- Tags share 1,024 keys, so that a call with many takes little of the server's table of locks; a chance meeting only waits.
CREATE FUNCTION eventstore.lock_v1(p_stream text[], p_type text[], p_tags text[], p_conditions json) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_tag text[]; v_alone_tag text[]; v_alone_type text[]; v_whole boolean := false; v_done text;
BEGIN
    IF p_conditions IS NULL AND p_tags IS NULL AND cardinality(p_stream) = 1 AND cardinality(p_type) = 1 THEN
        -- the same keys in the same order as below, as plain expressions: an eighth of the time
        v_done := pg_advisory_xact_lock(1919247972, hashtext(p_stream[1]))::text;
        v_done := pg_advisory_xact_lock_shared(1919247991, 0)::text;
        v_done := pg_advisory_xact_lock_shared(1919247993, hashtext(p_type[1]))::text;
        RETURN;
    END IF;
    IF p_conditions IS NOT NULL THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'a condition needs READ COMMITTED: an older snapshot does not see what it must' USING ERRCODE = '0A000';
        END IF;
        LOCK TABLE eventstore.whole IN SHARE MODE;
        SELECT array_agg((eventstore.rarest_v1(i.g))[1]), array_agg(y.type), bool_or(i.g IS NULL AND i.y IS NULL)
            INTO v_alone_tag, v_alone_type, v_whole
            FROM json_to_recordset(p_conditions) AS c (q json) CROSS JOIN LATERAL json_to_recordset(c.q) AS i (y text[], g text[])
            LEFT JOIN LATERAL unnest(i.y) AS y (type) ON i.g IS NULL;
    END IF;
    IF p_tags IS NOT NULL THEN
        v_tag := ARRAY(SELECT DISTINCT g.tag FROM unnest(p_tags) AS e (tags), unnest(e.tags::text[]) AS g (tag));
    END IF;
    PERFORM CASE WHEN k.alone THEN pg_advisory_xact_lock(k.kind, k.key)::text ELSE pg_advisory_xact_lock_shared(k.kind, k.key)::text END
        FROM (
            SELECT l.kind, l.key, bool_or(l.alone) AS alone FROM (
                SELECT 1919247972, hashtext(s.name), true FROM unnest(p_stream) AS s (name)
                UNION ALL SELECT 1919247975, hashtext(g.tag) & 1023, false FROM unnest(v_tag) AS g (tag)
                UNION ALL SELECT 1919247975, hashtext(g.tag) & 1023, true FROM unnest(v_alone_tag) AS g (tag) WHERE g.tag IS NOT NULL
                UNION ALL SELECT 1919247991, 0, v_whole
                UNION ALL SELECT 1919247993, hashtext(y.type), false FROM unnest(p_type) AS y (type)
                UNION ALL SELECT 1919247993, hashtext(y.type), true FROM unnest(v_alone_type) AS y (type) WHERE y.type IS NOT NULL
            ) AS l (kind, key, alone)
            GROUP BY l.kind, l.key ORDER BY l.kind, l.key
        ) AS k;
END $$;

-- Which requests are known already: code 'known' and where they lie, or RF002 and why not; NULL for what is new.
CREATE FUNCTION eventstore.known_v1(
    p_request integer[], p_stream text[], p_part integer[], p_ids uuid[],
    OUT codes text[], OUT details text[], OUT versions bigint[], OUT xids bigint[], OUT positions bigint[]
) LANGUAGE sql STABLE AS $$
    WITH looked_up AS (
        SELECT i.part, count(*) AS events, count(e.event_id) AS known, count(DISTINCT e.version - i.n) AS shifts,
            count(*) FILTER (WHERE e.stream <> p_stream[i.part]) AS elsewhere, min(e.event_id::text) AS example, min(e.stream) AS place,
            (array_agg(e.version ORDER BY i.n DESC))[1] AS version, (array_agg(e.xid ORDER BY i.n DESC))[1] AS xid,
            (array_agg(e.position ORDER BY i.n DESC))[1] AS last
        FROM unnest(p_ids, p_part) WITH ORDINALITY AS i (id, part, n)
        LEFT JOIN LATERAL (SELECT * FROM eventstore.event AS e WHERE e.event_id = i.id LIMIT 1) AS e ON true
        GROUP BY i.part
    ), judged AS (
        SELECT l.*, bool_and(l.known = 0) OVER request AS is_new,
            bool_and(l.known = l.events AND l.shifts = 1 AND l.elsewhere = 0) OVER request AS is_known,
            sum(l.known) OVER request AS all_known, sum(l.events) OVER request AS all_events,
            min(l.example) OVER request AS an_example, min(l.place) OVER request AS a_place
        FROM looked_up AS l WINDOW request AS (PARTITION BY p_request[l.part])
    )
    SELECT array_agg(CASE WHEN j.is_known THEN 'known' WHEN NOT j.is_new THEN 'RF002' END ORDER BY j.part),
        array_agg(CASE WHEN NOT j.is_new AND NOT j.is_known THEN format(
            '%s of %s event ids are recorded already, and not as this append: for example %s in stream %s',
            j.all_known, j.all_events, j.an_example, j.a_place) END ORDER BY j.part),
        array_agg(j.version ORDER BY j.part), array_agg(j.xid::text::bigint ORDER BY j.part), array_agg(j.last ORDER BY j.part)
    FROM judged AS j
$$;

-- Ask the conditions of those requests that are fine so far, in their order, and give codes and details with RF004 filled in.
-- What requests before one in this call will write counts as well: their positions come first.
CREATE FUNCTION eventstore.refused_v1(
    p_conditions json, p_request integer[], p_stream text[], p_found bigint[], p_part integer[], p_type text[], p_tags text[],
    INOUT codes text[], INOUT details text[]
) LANGUAGE plpgsql AS $$
DECLARE
    c record;
    v_detail text; v_xid xid8; v_position bigint;
BEGIN
    FOR c IN
        SELECT x.r, x.q, x.a FROM json_to_recordset(p_conditions) AS x (r integer, q json, a text) ORDER BY x.r
    LOOP
        CONTINUE WHEN codes[array_position(p_request, c.r)] IS NOT NULL;
        v_detail := NULL;
        SELECT m.xid, m.position INTO v_xid, v_position
            FROM json_to_recordset(c.q) AS i (y text[], g text[]) CROSS JOIN LATERAL eventstore.matching_v1(i.y, i.g, c.a, 1, false) AS m
            ORDER BY m.xid, m.position LIMIT 1;
        IF FOUND THEN
            SELECT json_build_array(e.stream, e.version, e.type)::text INTO v_detail
                FROM eventstore.event AS e WHERE e.xid = v_xid AND e.position = v_position;
        ELSIF p_request[1] < c.r THEN
            SELECT json_build_array(p_stream[e.part], coalesce(p_found[e.part], 0) + (
                    SELECT count(*) FROM unnest(p_part) WITH ORDINALITY AS b (part, n)
                    WHERE b.n <= e.n AND codes[b.part] IS NULL AND p_stream[b.part] = p_stream[e.part]
                ), e.type)::text INTO v_detail
                FROM unnest(p_part, p_type, p_tags) WITH ORDINALITY AS e (part, type, tags, n)
                CROSS JOIN json_to_recordset(c.q) AS i (y text[], g text[])
                WHERE p_request[e.part] < c.r AND codes[e.part] IS NULL
                    AND (i.y IS NULL OR e.type = ANY (i.y)) AND (i.g IS NULL OR e.tags::text[] @> i.g)
                ORDER BY e.n LIMIT 1;
        END IF;
        IF v_detail IS NOT NULL THEN
            SELECT array_agg(CASE WHEN p.r = c.r THEN 'RF004' ELSE p.code END ORDER BY p.i),
                    array_agg(CASE WHEN p.r = c.r THEN v_detail ELSE p.detail END ORDER BY p.i)
                INTO codes, details
                FROM unnest(p_request, codes, details) WITH ORDINALITY AS p (r, code, detail, i);
        END IF;
    END LOOP;
END $$;

-- Refuse (40001) to record an event with a tag that a younger transaction used: readers would see it before what it came after.
-- Only a transaction that had an id before it called can be so late; others get theirs after they hold the locks.
CREATE FUNCTION eventstore.guard_tags_v1(p_tags text[], p_me xid8) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM unnest(p_tags) AS e (tags), unnest(e.tags::text[]) AS g (tag)
        WHERE EXISTS (SELECT FROM eventstore.tag AS t WHERE t.tag = g.tag AND t.xid > p_me)
    ) THEN
        RAISE EXCEPTION 'a younger transaction recorded an event with one of the tags first' USING ERRCODE = '40001';
    END IF;
END $$;

-- Record a group of requests in one transaction. Each is recorded whole or refused whole, and has its own outcome; a refused
-- one writes nothing and does not disturb the others.
-- p_parts: JSON array of {r: number of the request, s: stream, x: expected version as in append_v1, n: how many events}, in the
--   order of the events; the parts of a request lie side by side. A stream may come twice only where every x is -1.
-- p_ids, p_types, p_versions (of the schema), p_data: an entry an event. p_metadata, p_occurred, p_tags (a text[] literal, sorted):
--   likewise, with NULL where an event has none, or NULL as a whole where no event has any.
-- p_conditions: NULL, or {r: request, q: [{y: types or null, g: tags or null}, ...], a: marker or null}: refuse r when an event
--   matches one of q (one of the types, all of the tags) that the marker has not seen. Requests before r in the call count.
-- Gives a row a part: code NULL = recorded (or known already: same ids, same place), with the part's last version, xid, position;
--   RF001 wrong expected version (version = the actual one of each part); RF002 ids recorded as something else
--   (detail says which); RF004 the condition (detail = [stream, version, type] of the event, as JSON).
-- Errors: 40001, 40P01, 23505 event_id_once = nothing was recorded, call again.
-- Plans are made once and for index scans only: made anew for each call they cost more than the work, and made while the tables
-- were empty they would read all of a frequent tag where 64 entries are asked for.
-- Order of things: every lock before the transaction has an id, so that ids follow the queue and readers by (xid, position) see
-- a stream, or what a condition decided, in the order of the decisions. Keys are locked sorted, each once and in its strongest
-- mode, so groups don't deadlock. Stream rows are compared and set: whoever takes no notice of these locks (import_v1) makes
-- that fail, and the call is repeated. Positions are drawn for what is recorded only.
CREATE FUNCTION eventstore.append_v2(
    p_parts json, p_ids uuid[], p_types text[], p_versions integer[], p_data jsonb[],
    p_metadata jsonb[] DEFAULT NULL, p_occurred timestamptz[] DEFAULT NULL, p_tags text[] DEFAULT NULL, p_conditions json DEFAULT NULL
) RETURNS TABLE (part integer, code text, version bigint, xid bigint, "position" bigint, detail text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    -- one entry a part
    v_request integer[]; v_stream text[]; v_expected bigint[]; v_count integer[];
    v_found bigint[]; v_code text[]; v_detail text[]; v_version bigint[]; v_xid bigint[]; v_last bigint[];
    v_shift bigint[]; v_skip bigint[];
    v_part integer[]; -- one entry an event
    v_tagged CONSTANT boolean := p_tags IS NOT NULL; v_twice boolean;
    v_lone CONSTANT boolean := json_array_length(p_parts) = 1;
    v_had CONSTANT xid8 := pg_current_xact_id_if_assigned();
    v_known integer; v_going integer; v_old integer; v_new integer; v_done integer := 0; v_rows integer;
    v_me xid8; v_now timestamptz; v_first bigint; v_positions bigint[];
BEGIN
    -- A lone part, which is what comes while there is little to do, needs no sets: without them it takes half the time.
    IF v_lone THEN
        v_request := ARRAY[1]; v_stream := ARRAY[p_parts -> 0 ->> 's']; v_expected := ARRAY[(p_parts -> 0 ->> 'x')::bigint];
        v_count := ARRAY[(p_parts -> 0 ->> 'n')::integer]; v_part := array_fill(1, v_count);
    ELSE
        SELECT array_agg(p.r ORDER BY p.i), array_agg(p.s ORDER BY p.i), array_agg(p.x ORDER BY p.i), array_agg(p.n ORDER BY p.i)
            INTO v_request, v_stream, v_expected, v_count
            FROM ROWS FROM (json_to_recordset(p_parts) AS (r integer, s text, x bigint, n integer)) WITH ORDINALITY AS p (r, s, x, n, i);
        v_part := ARRAY(SELECT p.i FROM unnest(v_count) WITH ORDINALITY AS p (n, i), generate_series(1, p.n) ORDER BY p.i);
    END IF;
    IF cardinality(v_part) <> ANY (ARRAY[cardinality(p_ids), cardinality(p_types), cardinality(p_versions), cardinality(p_data),
        cardinality(p_metadata), cardinality(p_occurred), cardinality(p_tags)]) THEN
        RAISE EXCEPTION 'parts of % events, % ids, % types, % versions, % data', cardinality(v_part), cardinality(p_ids),
            cardinality(p_types), cardinality(p_versions), cardinality(p_data) USING ERRCODE = '22023';
    END IF;
    PERFORM eventstore.lock_v1(v_stream, p_types, p_tags, p_conditions);

    -- The versions first, the ids after them: so nobody is told "wrong version" whose own events raised it.
    IF v_lone THEN
        v_found := ARRAY[(SELECT s.version FROM eventstore.stream AS s WHERE s.name = v_stream[1])];
    ELSE
        SELECT array_agg((SELECT s.version FROM eventstore.stream AS s WHERE s.name = p.stream) ORDER BY p.i) INTO v_found
            FROM unnest(v_stream) WITH ORDINALITY AS p (stream, i);
    END IF;
    v_code := array_fill(NULL::text, ARRAY[cardinality(v_stream)]);
    v_detail := v_code;
    SELECT count(*) INTO v_known FROM eventstore.event AS e WHERE e.event_id = ANY (p_ids);
    IF v_known > 0 THEN
        SELECT k.codes, k.details, k.versions, k.xids, k.positions INTO v_code, v_detail, v_version, v_xid, v_last
            FROM eventstore.known_v1(v_request, v_stream, v_part, p_ids) AS k;
    END IF;
    IF v_lone THEN
        IF v_code[1] IS NULL AND v_expected[1] <> -1
            AND NOT (v_expected[1] = coalesce(v_found[1], 0) OR (v_expected[1] = -2 AND v_found[1] IS NOT NULL)) THEN
            v_code := ARRAY['RF001'];
        END IF;
    ELSE
        SELECT array_agg(coalesce(d.code, CASE WHEN d.wrong THEN 'RF001' END) ORDER BY d.i), bool_or(d.twice) INTO v_code, v_twice FROM (
            SELECT p.i, p.code, p.x <> -1 AND count(*) OVER (PARTITION BY p.s) > 1 AS twice,
                bool_or(NOT (p.x = -1 OR (p.x = -2 AND p.found IS NOT NULL) OR p.x = coalesce(p.found, 0))) OVER (PARTITION BY p.r) AS wrong
            FROM unnest(v_request, v_stream, v_expected, v_found, v_code) WITH ORDINALITY AS p (r, s, x, found, code, i)
        ) AS d;
        IF v_twice THEN
            RAISE EXCEPTION 'a stream comes twice in one call, and with an expected version' USING ERRCODE = '22023';
        END IF;
    END IF;
    IF p_conditions IS NOT NULL THEN
        SELECT c.codes, c.details INTO v_code, v_detail
            FROM eventstore.refused_v1(p_conditions, v_request, v_stream, v_found, v_part, p_types, p_tags, v_code, v_detail) AS c;
    END IF;

    -- shift: what makes an event's number in the call its version in the stream; skip: refused events before it
    IF v_lone THEN
        v_going := CASE WHEN v_code[1] IS NULL THEN v_count[1] ELSE 0 END;
        v_shift := ARRAY[CASE WHEN v_going > 0 THEN coalesce(v_found[1], 0) END]; v_skip := ARRAY[0];
        v_old := (v_found[1] IS NOT NULL)::integer; v_new := 1 - v_old;
    ELSE
        SELECT array_agg(CASE WHEN w.going THEN coalesce(w.found, 0) + w.beside - w.before END ORDER BY w.i),
                array_agg(w.before - w.taken ORDER BY w.i), coalesce(sum(w.n) FILTER (WHERE w.going), 0),
                count(DISTINCT w.s) FILTER (WHERE w.going AND w.found IS NOT NULL), count(DISTINCT w.s) FILTER (WHERE w.going AND w.found IS NULL)
            INTO v_shift, v_skip, v_going, v_old, v_new
            FROM (
                SELECT p.*, p.code IS NULL AS going, sum(p.n) OVER before - p.n AS before,
                    coalesce(sum(p.n) FILTER (WHERE p.code IS NULL) OVER before, 0) - CASE WHEN p.code IS NULL THEN p.n ELSE 0 END AS taken,
                    coalesce(sum(p.n) FILTER (WHERE p.code IS NULL) OVER (PARTITION BY p.s ORDER BY p.i), 0) - p.n AS beside
                FROM unnest(v_stream, v_count, v_found, v_code) WITH ORDINALITY AS p (s, n, found, code, i)
                WINDOW before AS (ORDER BY p.i)
            ) AS w;
    END IF;
    IF v_going > 0 THEN
        v_me := pg_current_xact_id();
        -- A transaction that had its id before may come before what was decided, or before what it decided on: not if we can see it.
        IF v_had IS NOT NULL AND v_tagged THEN
            PERFORM eventstore.guard_tags_v1(p_tags, v_me);
        END IF;
        IF v_had IS NOT NULL AND p_conditions IS NOT NULL AND EXISTS (
            SELECT FROM json_to_recordset(p_conditions) AS c (q json) CROSS JOIN LATERAL json_to_recordset(c.q) AS i (y text[], g text[])
            CROSS JOIN LATERAL eventstore.matching_v1(i.y, i.g, NULL, 1, true) AS m WHERE m.xid > v_me
        ) THEN
            RAISE EXCEPTION 'a younger transaction recorded an event that the condition asks for first' USING ERRCODE = '40001';
        END IF;
        IF v_old > 0 THEN
            UPDATE eventstore.stream AS s SET version = n.found + n.added, last_xid = v_me
                FROM (SELECT p.s, min(p.found) AS found, sum(p.n) AS added
                    FROM unnest(v_stream, v_count, v_found, v_code) AS p (s, n, found, code)
                    WHERE p.code IS NULL AND p.found IS NOT NULL GROUP BY p.s ORDER BY p.s) AS n
                WHERE s.name = n.s AND s.version = n.found AND s.last_xid <= v_me;
            GET DIAGNOSTICS v_done = ROW_COUNT;
        END IF;
        IF v_new > 0 THEN
            INSERT INTO eventstore.stream AS s (name, version, last_xid)
                SELECT p.s, sum(p.n), v_me FROM unnest(v_stream, v_count, v_found, v_code) AS p (s, n, found, code)
                    WHERE p.code IS NULL AND p.found IS NULL GROUP BY p.s ORDER BY p.s
                ON CONFLICT (name) DO NOTHING;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            v_done := v_done + v_rows;
        END IF;
        IF v_done <> v_old + v_new THEN
            RAISE EXCEPTION 'another transaction appended to one of the streams first' USING ERRCODE = '40001';
        END IF;
        v_now := clock_timestamp();
        v_positions := ARRAY(SELECT nextval('eventstore.event_position_seq') FROM generate_series(1, v_going));
        INSERT INTO eventstore.event (position, xid, event_id, stream, version, type, schema_version, data, metadata,
                occurred_at, recorded_at, tags) OVERRIDING SYSTEM VALUE
            SELECT v_positions[e.n - v_skip[e.part]], v_me, e.id, v_stream[e.part], v_shift[e.part] + e.n, e.type, e.v, e.d,
                coalesce(e.m, '{}'), coalesce(e.o, v_now), v_now, e.tags::text[]
            FROM unnest(p_ids, v_part, p_types, p_versions, p_data, p_metadata, p_occurred, p_tags)
                WITH ORDINALITY AS e (id, part, type, v, d, m, o, tags, n)
            WHERE v_shift[e.part] IS NOT NULL;
        IF v_tagged THEN
            INSERT INTO eventstore.tag (xid, position, tag, type)
                SELECT v_me, v_positions[e.n - v_skip[e.part]], g.tag, e.type
                FROM unnest(v_part, p_types, p_tags) WITH ORDINALITY AS e (part, type, tags, n), unnest(e.tags::text[]) AS g (tag)
                WHERE v_shift[e.part] IS NOT NULL;
        END IF;
    END IF;
    IF v_lone THEN
        part := 1;
        code := nullif(v_code[1], 'known');
        version := CASE WHEN v_going > 0 THEN v_shift[1] + v_count[1] WHEN v_code[1] = 'known' THEN v_version[1] ELSE coalesce(v_found[1], 0) END;
        xid := CASE WHEN v_going > 0 THEN v_me::text::bigint ELSE v_xid[1] END;
        position := CASE WHEN v_going > 0 THEN v_positions[v_going] ELSE v_last[1] END;
        detail := v_detail[1];
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT p.i::integer, nullif(p.code, 'known'),
            CASE WHEN p.code IS NULL THEN p.shift + p.upto WHEN p.code = 'known' THEN p.version ELSE coalesce(p.found, 0) END,
            CASE WHEN p.code IS NULL THEN v_me::text::bigint WHEN p.code = 'known' THEN p.xid END,
            CASE WHEN p.code IS NULL THEN v_positions[p.upto - p.skip] WHEN p.code = 'known' THEN p.last END, p.detail
        FROM (
            SELECT q.*, sum(q.n) OVER (ORDER BY q.i) AS upto
            FROM unnest(v_count, v_found, v_code, v_shift, v_skip, v_version, v_xid, v_last, v_detail)
                WITH ORDINALITY AS q (n, found, code, shift, skip, version, xid, last, detail, i)
        ) AS p ORDER BY p.i;
END $$;

-- import_v1 with tags: pg_temp.incoming has a column tags text[], NULL for none. A chunk may hold more tags than the server has
-- locks, so an import locks none of them: conditional appends wait for the chunk, and the chunk for them.
CREATE FUNCTION eventstore.import_v2(OUT recorded bigint, OUT known bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET work_mem = '64MB' AS $$
DECLARE
    v_me CONSTANT xid8 := pg_current_xact_id();
    v_now CONSTANT timestamptz := clock_timestamp();
    v_total bigint;
    v_ids CONSTANT uuid[] := (SELECT array_agg(i.event_id) FROM pg_temp.incoming AS i);
    v_tags CONSTANT text[] := ARRAY(SELECT DISTINCT g.tag FROM pg_temp.incoming AS i, unnest(i.tags) AS g (tag));
BEGIN
    LOCK TABLE eventstore.whole IN ROW EXCLUSIVE MODE;
    -- As an array the ids are looked up one by one, in order; a join was planned as a scan of the whole index.
    SELECT count(*) INTO known FROM eventstore.event AS e WHERE e.event_id = ANY (v_ids);
    IF known > 0 THEN
        DELETE FROM pg_temp.incoming AS i
            WHERE i.event_id IN (SELECT e.event_id FROM eventstore.event AS e WHERE e.event_id = ANY (v_ids));
    END IF;
    IF cardinality(v_tags) > 0 AND EXISTS (SELECT FROM eventstore.event AS e WHERE e.xid > v_me) THEN
        PERFORM eventstore.guard_tags_v1(ARRAY[v_tags::text], v_me);
    END IF;
    SELECT count(*) INTO v_total FROM pg_temp.incoming;
    WITH counted AS (
        SELECT i.stream, count(*) AS added FROM pg_temp.incoming AS i GROUP BY i.stream ORDER BY i.stream
    ), raised AS (
        INSERT INTO eventstore.stream AS s (name, version, last_xid)
        SELECT c.stream, c.added, v_me FROM counted AS c ORDER BY c.stream
        ON CONFLICT (name) DO UPDATE SET version = s.version + excluded.version, last_xid = v_me WHERE s.last_xid <= v_me
        RETURNING s.name, s.version
    ), numbered AS (
        SELECT i.*, r.version - count(*) OVER (PARTITION BY i.stream) + row_number() OVER (PARTITION BY i.stream ORDER BY i.n)
            AS version
        FROM pg_temp.incoming AS i JOIN raised AS r ON r.name = i.stream
    )
    INSERT INTO eventstore.event
        (xid, event_id, stream, version, type, schema_version, data, metadata, occurred_at, recorded_at, tags)
    SELECT v_me, b.event_id, b.stream, b.version, b.type, b.schema_version, b.data, b.metadata, coalesce(b.occurred_at, v_now), v_now,
            b.tags
        FROM numbered AS b ORDER BY b.n;
    GET DIAGNOSTICS recorded = ROW_COUNT;
    IF recorded <> v_total THEN
        RAISE EXCEPTION 'a younger transaction appended to one of the streams first' USING ERRCODE = '40001';
    END IF;
    IF cardinality(v_tags) > 0 THEN
        INSERT INTO eventstore.tag (xid, position, tag, type)
            SELECT v_me, (SELECT e.position FROM eventstore.event AS e WHERE e.event_id = i.event_id), g.tag, i.type
            FROM pg_temp.incoming AS i CROSS JOIN LATERAL unnest(i.tags) AS g (tag) ORDER BY i.n;
    END IF;
END $$;

REVOKE ALL ON FUNCTION eventstore.append_v2, eventstore.lock_v1, eventstore.known_v1, eventstore.refused_v1, eventstore.guard_tags_v1,
    eventstore.import_v2 FROM PUBLIC;
