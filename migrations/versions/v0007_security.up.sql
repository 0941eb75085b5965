-- Room for what this release adds: Least-privilege roles, and chains of hashes.
SELECT 1;
