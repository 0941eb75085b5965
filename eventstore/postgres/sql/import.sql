-- Number and record what was copied in, with the owner's rights.
SELECT recorded, known FROM eventstore.import_v3()
