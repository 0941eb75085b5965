-- Where a bulk import lands before import_v3 numbers it: a temporary table of the owner's, emptied at every commit.
SELECT eventstore.prepare_import_v1()
