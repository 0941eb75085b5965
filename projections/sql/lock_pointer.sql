-- make the pointer row if it is missing and lock it, so that swaps of one projection queue up
INSERT INTO projections.pointer (projection) VALUES (%(projection)s)
ON CONFLICT (projection) DO UPDATE SET projection = excluded.projection
RETURNING generation
