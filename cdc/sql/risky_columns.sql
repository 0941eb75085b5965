-- columns whose values Debezium 3.7 can't carry in every case: see cdc/check.py for what each reason means
select n.nspname || '.' || c.relname as table_name, a.attname as column_name, format_type(a.atttypid, a.atttypmod) as type,
       case when a.attgenerated <> '' then 'generated'
            when a.attndims > 1 then 'dimensions'
            when element.typname in ('interval', 'money') and t.typcategory = 'A' then 'absent'
            when a.attstorage <> 'p' and c.relreplident <> 'f'
                 and (t.typname in ('path', 'polygon') or t.typname in ('varbit', 'bit') and not a.atttypmod between 1 and 128
                      or t.typcategory = 'A' and element.typname not in
                         ('text', 'varchar', 'int4', 'int8', 'uuid', 'bytea', 'date', 'jsonb', 'json')) then 'unchanged'
            when t.typtype = 'd' and base.typname = 'numeric' then 'domain'
       end as reason,
       a.attstorage <> 'p' as large,
       c.relreplident::text as identity,
       t.typtype in ('c', 'm') or element.typtype in ('c', 'm') as unknown,
       a.atthasdef and not a.attnotnull and a.attgenerated = '' as nullable_default,
       case when t.typname = 'numeric' then 'numeric'
            when t.typname in ('date', 'timestamp', 'timestamptz') then 'time' end as kind
  from unnest(%(tables)s::text[]) as wanted (name)
  join pg_namespace n on n.nspname = split_part(wanted.name, '.', 1)
  join pg_class c on c.relnamespace = n.oid and c.relname = substr(wanted.name, strpos(wanted.name, '.') + 1)
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  left join pg_type element on element.oid = t.typelem and t.typcategory = 'A'
  left join pg_type base on base.oid = t.typbasetype
 order by n.nspname, c.relname, a.attnum
