-- each wanted table: does it exist, may the role read it, what identifies its rows
select wanted.name,
       c.oid is not null as "exists",
       coalesce(c.relkind::text, '') as kind,
       coalesce(c.relreplident::text, '') as identity,
       exists (select 1 from pg_index i where i.indrelid = c.oid and i.indisprimary) as has_key,
       coalesce(pg_has_role(current_user, c.relowner, 'member'), false) as owned,
       coalesce((select pg_has_role(r.oid, c.relowner, 'member') from pg_roles r where r.rolname = %(role)s), false) as role_owns,
       coalesce(has_schema_privilege(%(role)s, n.oid, 'usage') and has_table_privilege(%(role)s, c.oid, 'select'), false) as readable
  from unnest(%(tables)s::text[]) with ordinality as wanted (name, place)
  left join pg_namespace n on n.nspname = split_part(wanted.name, '.', 1)
  left join pg_class c on c.relnamespace = n.oid and c.relname = substr(wanted.name, strpos(wanted.name, '.') + 1)
                      and c.relkind in ('r', 'p', 'v', 'm', 'f')
 order by wanted.place
