-- the table whose initial snapshot is measured: ten columns of everyday types
CREATE TABLE public.bench_flight (
    id bigint PRIMARY KEY, carrier text, flight integer, origin text, destination text, departs timestamptz, day date,
    price numeric(10, 2), distance float8, cancelled boolean
)
