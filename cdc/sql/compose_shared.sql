-- the query that says whether rows share a key, composed here because only the server knows how to quote its names
select format('select exists (select from %%I.%%I group by %%s having count(*) > 1)', split_part(%(table)s, '.', 1),
              substr(%(table)s, strpos(%(table)s, '.') + 1),
              (select string_agg(quote_ident(each), ', ') from unnest(%(key)s::text[]) as each)) as statement
