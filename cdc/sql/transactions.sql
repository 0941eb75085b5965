-- what has been open for longer than it should: it keeps slots from being made, and WAL from being freed
select false as prepared, pid::text as name, extract(epoch from now() - xact_start)::bigint as seconds, left(query, 80) as query
  from pg_stat_activity
 where xact_start < now() - make_interval(secs => %(seconds)s) and backend_type = 'client backend' and pid <> pg_backend_pid()
union all
select true, gid, extract(epoch from now() - prepared)::bigint, ''
  from pg_prepared_xacts
 where prepared < now() - make_interval(secs => %(seconds)s)
 order by 3 desc
 limit 5
