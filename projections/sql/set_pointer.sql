-- the swap itself: one row
UPDATE projections.pointer SET generation = %(generation)s, moved_at = clock_timestamp() WHERE projection = %(projection)s
RETURNING projection
