-- the table that signals are written into: is it there, has it what Debezium reads, may the role write it
select c.oid is not null as "exists",
       (select count(*) from pg_attribute a
         where a.attrelid = c.oid and a.attname in ('id', 'type', 'data') and not a.attisdropped) = 3 as sound,
       coalesce(has_table_privilege(%(role)s, c.oid, 'insert') and has_table_privilege(%(role)s, c.oid, 'delete'), false) as writable,
       coalesce(c.reltuples, 0)::bigint as rows
  from (select %(table)s::text as name) wanted
  left join pg_namespace n on n.nspname = split_part(wanted.name, '.', 1)
  left join pg_class c on c.relnamespace = n.oid and c.relname = substr(wanted.name, strpos(wanted.name, '.') + 1)
