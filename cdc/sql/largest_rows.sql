-- composes a look at some rows of each table: what a record must be able to hold; null without a readable table
select string_agg(format('(select %%L as name, max(octet_length(s::text)) as largest from (select * from %%I.%%I limit 200) s)',
                         wanted.name, n.nspname, c.relname), ' union all ') as statement
  from unnest(%(tables)s::text[]) as wanted (name)
  join pg_namespace n on n.nspname = split_part(wanted.name, '.', 1)
  join pg_class c on c.relnamespace = n.oid and c.relname = substr(wanted.name, strpos(wanted.name, '.') + 1)
                 and c.relkind in ('r', 'p') and has_table_privilege(c.oid, 'select')
