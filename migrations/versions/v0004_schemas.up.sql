-- Room for what this release adds: The catalogue of event schemas.
SELECT 1;
