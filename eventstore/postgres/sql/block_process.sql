-- Say why a process stands still and before which event, and keep it ours for the pause before the next attempt.
UPDATE eventstore.process
SET reason = %(reason)s, blocked = %(blocked)s, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    updated_at = clock_timestamp()
WHERE name = %(name)s AND epoch = %(epoch)s
