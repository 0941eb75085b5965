-- Move a process's checkpoint and renew its lease, provided that it is still ours and where we left it.
UPDATE eventstore.process
SET xid = %(xid)s, sequence = %(sequence)s, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    updated_at = clock_timestamp(), reason = NULL, blocked = NULL
WHERE name = %(name)s AND epoch = %(epoch)s AND xid = %(from_xid)s AND sequence = %(from_sequence)s
