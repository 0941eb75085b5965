-- the publication as it is: what it publishes and of which tables, null when there is none
select p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate as all_operations,
       array_remove(array[case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
                          case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end], null)::text[] as operations,
       p.puballtables as all_tables,
       p.pubviaroot as via_root,
       pg_has_role(current_user, p.pubowner, 'member') as owned,
       array(select t.schemaname || '.' || t.tablename from pg_publication_tables t
              where t.pubname = p.pubname order by 1)::text[] as tables,
       array(select r.prrelid::regclass::text from pg_publication_rel r
              where r.prpubid = p.oid and (r.prqual is not null or r.prattrs is not null) order by 1)::text[] as narrowed
  from pg_publication p
 where p.pubname = %(publication)s
