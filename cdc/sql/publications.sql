-- every publication of this database, for finding those that nobody names
select pubname::text as name from pg_publication order by 1
