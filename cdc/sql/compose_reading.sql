-- the query that reads a table, composed here because only the server knows how to quote its names
select format('select %%s from %%I.%%I', array_to_string(%(expressions)s::text[], ', '), split_part(%(table)s, '.', 1),
              substr(%(table)s, strpos(%(table)s, '.') + 1)) as statement
