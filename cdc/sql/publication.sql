-- the publication as it is: what it publishes and of which tables, null when there is none
select p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate as all_operations,
       p.puballtables as all_tables,
       array(select t.schemaname || '.' || t.tablename from pg_publication_tables t
              where t.pubname = p.pubname order by 1)::text[] as tables
  from pg_publication p
 where p.pubname = %(publication)s
