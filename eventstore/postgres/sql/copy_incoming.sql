-- Text format: measured faster to write from Python than binary, since JSON needs one pass for backslashes and nothing else.
COPY pg_temp.incoming (n, event_id, stream, type, schema_version, occurred_at, data, metadata, tags) FROM STDIN
