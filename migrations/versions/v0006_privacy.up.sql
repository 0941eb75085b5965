-- Room for what this release adds: Keys of subjects, and tenants.
SELECT 1;
