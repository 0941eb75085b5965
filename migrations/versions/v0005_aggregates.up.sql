-- Room for what this release adds: Snapshots, process managers and scheduled events.
SELECT 1;
