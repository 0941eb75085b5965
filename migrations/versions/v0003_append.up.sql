-- Room for what this release adds: Appends to several streams, in groups, and on conditions over types and tags.
SELECT 1;
