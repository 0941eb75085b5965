-- which generation is live, and since when in microseconds: each swap's time is later than the one before, which it waited for
SELECT generation, (extract(epoch FROM moved_at) * 1000000)::bigint FROM projections.pointer WHERE projection = %(projection)s
