-- takes the snapshot of the first connection; a command that accepts no parameter, so its name is put in
SET TRANSACTION SNAPSHOT '$snapshot'
