-- Forget the states of one stream, or of all: the next load folds them anew.
DELETE FROM eventstore.snapshot WHERE %(stream)s::text IS NULL OR stream = %(stream)s
