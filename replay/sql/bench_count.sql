-- how many rows of the snapshot arrived
SELECT count(*) FROM rm_cdc_bench_g1.flight
