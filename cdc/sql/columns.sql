-- each column of the wanted tables with all that decides which Python type its values have; a domain is shown as its base type
with recursive base (oid, type, typmod) as (
    select t.oid, t.oid, -1 from pg_type t
    union all
    select base.oid, t.typbasetype, t.typtypmod from base join pg_type t on t.oid = base.type where t.typtype = 'd'
)
select n.nspname || '.' || c.relname as table_name, a.attname as column_name,
       format_type(t.oid, case when a.atttypid = t.oid then a.atttypmod else base.typmod end) as type,
       t.typname as name, t.typtype::text as kind,
       element.typname as element, element.typtype::text as element_kind,
       a.atttypid <> t.oid as is_domain,
       a.attnotnull as required,
       a.attgenerated = 's' as generated,
       a.attstorage <> 'p' and c.relreplident <> 'f' and not coalesce(a.attnum = any (key.indkey), false) as large,
       c.relreplident = 'f' as full
  from unnest(%(tables)s::text[]) as wanted (name)
  join pg_namespace n on n.nspname = split_part(wanted.name, '.', 1)
  join pg_class c on c.relnamespace = n.oid and c.relname = substr(wanted.name, strpos(wanted.name, '.') + 1)
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join base on base.oid = a.atttypid
  join pg_type t on t.oid = base.type and t.typtype <> 'd'
  left join pg_type element on element.oid = t.typelem and t.typcategory = 'A'
  left join pg_index key on key.indrelid = c.oid and key.indisprimary
 order by n.nspname, c.relname, a.attnum
