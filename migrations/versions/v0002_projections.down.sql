-- Read models can be rebuilt from the log; their generations' schemas (rm_*) stay and are dropped by hand.
DROP SCHEMA projections CASCADE;
