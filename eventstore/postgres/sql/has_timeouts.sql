-- The time by this server's clock if a timeout of a process is due, asked outside of any transaction so that idling writes nothing.
SELECT clock_timestamp() WHERE EXISTS (
    SELECT FROM eventstore.task
    WHERE process = %s AND kind = 'timeout' AND state = 'waiting' AND due_at <= clock_timestamp()
)
