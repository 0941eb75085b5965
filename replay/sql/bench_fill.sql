-- rows for the snapshot, the same for every run
INSERT INTO public.bench_flight
SELECT n, 'UA', n %% 9000, 'EWR', 'IAH', timestamptz '2013-01-01 10:15+00' + n * interval '1 second', date '2013-01-01' + (n %% 365)::int,
       n %% 100000 / 100.0, 1400.5, n %% 50 = 0
FROM generate_series(1::bigint, %(rows)s) AS n
