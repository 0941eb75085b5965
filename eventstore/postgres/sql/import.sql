-- Number and record what was copied in.
SELECT recorded, known FROM eventstore.import_v1()
