-- PostgreSQL itself quotes the table's name and the values of the row that a connector will read as a signal
select format('insert into %%I.%%I (id, type, data) values (%%L, %%L, %%L)',
              split_part(%(table)s::text, '.', 1), substr(%(table)s::text, strpos(%(table)s::text, '.') + 1),
              %(id)s::text, %(kind)s::text, %(data)s::text) as statement
