-- every table that could be captured, for lists that are regular expressions
select n.nspname || '.' || c.relname as name
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and c.relpersistence = 'p' and n.nspname !~ '^(pg_|information_schema$)'
 order by 1
