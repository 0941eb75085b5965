-- one snapshot for as long as it takes to read a table, which takes no lock and no transaction id
set transaction isolation level repeatable read, read only
