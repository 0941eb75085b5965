-- one change, committed by itself
INSERT INTO public.bench_pulse VALUES (%(id)s, 'UA', 12.50, clock_timestamp())
