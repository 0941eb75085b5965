-- which changes arrived since the last look
SELECT id FROM rm_cdc_bench_g1.pulse WHERE id > %(after)s ORDER BY id
