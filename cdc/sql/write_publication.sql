-- PostgreSQL itself quotes the names, so that a table called "Order Lines" needs no care of ours
select format(case %(verb)s when 'create' then 'create publication %%1$I for table %%2$s with (publish = ''insert, update, delete, truncate'')'
                            when 'alter' then 'alter publication %%1$I set table %%2$s'
                            when 'operations' then 'alter publication %%1$I set (publish = ''insert, update, delete, truncate'')'
                            else 'drop publication if exists %%1$I' end,
              %(publication)s::text,
              (select string_agg(format('%%I.%%I', split_part(t, '.', 1), substr(t, strpos(t, '.') + 1)), ', ' order by t)
                 from unnest(%(tables)s::text[]) as t)) as statement
