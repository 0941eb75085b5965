-- Room for what this release adds: The second route into the log, by Debezium.
SELECT 1;
