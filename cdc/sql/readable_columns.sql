-- how each column of a table is read so that its value can be made what the connector would send
select a.attname as name,
       t.type,
       t.is_domain,
       a.atttypmod as modifier,
       case
           when a.attgenerated <> '' or t.element in ('interval', 'money') and t.is_array then null
           when t.type in ('money', '_money') then format('%%I::numeric', a.attname)
           when t.type = 'timetz' then format($$(%%I at time zone 'UTC')::text$$, a.attname)
           when t.type = 'hstore' then format('to_json(%%I)::text', a.attname)
           when t.is_domain and t.type = 'numeric' then format('%%I::text', a.attname)
           when t.element in ('bool', 'int2', 'int4', 'int8', 'oid', 'float4', 'float8', 'numeric', 'text', 'varchar', 'bpchar',
                              'uuid', 'bytea') then format('%%I', a.attname)
           when t.is_array then format('%%I::text[]', a.attname)
           else format('%%I::text', a.attname)
       end as expression,
       t.is_array,
       t.element,
       coalesce(array_position(k.conkey, a.attnum), 0) as place
  from pg_attribute a
  join pg_type own on own.oid = a.atttypid
  left join pg_type base on base.oid = own.typbasetype
  cross join lateral (select coalesce(base.oid, own.oid) as oid) settled
  join lateral (
           select s.typname as type, base.oid is not null as is_domain, s.typcategory = 'A' as is_array,
                  coalesce(e.typname, s.typname) as element
             from pg_type s left join pg_type e on e.oid = s.typelem and s.typcategory = 'A'
            where s.oid = settled.oid
       ) t on true
  left join pg_constraint k on k.conrelid = a.attrelid and k.contype = 'p'
 where a.attrelid = to_regclass(format('%%I.%%I', split_part(%(table)s, '.', 1), substr(%(table)s, strpos(%(table)s, '.') + 1)))
   and a.attnum > 0 and not a.attisdropped
 order by a.attnum
