-- whether the read model is there yet
SELECT to_regclass('rm_cdc_bench_g1.flight') IS NOT NULL
