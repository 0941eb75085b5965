-- Choose what is added to this server's transaction ids after a restore.
SELECT changed, shift FROM eventstore.restored_v1()
