-- Where a bulk import lands before import_v1 numbers it; emptied at every commit.
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    n bigint NOT NULL,
    event_id uuid NOT NULL,
    stream text COLLATE "C" NOT NULL,
    type text NOT NULL,
    schema_version integer NOT NULL,
    occurred_at timestamptz,
    data jsonb NOT NULL,
    metadata jsonb NOT NULL
) ON COMMIT DELETE ROWS
