-- the table whose changes are timed from their commit to their row in the read model
CREATE TABLE public.bench_pulse (id bigint PRIMARY KEY, carrier text, price numeric(10, 2), at timestamptz)
