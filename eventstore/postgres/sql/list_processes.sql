-- Where every process is, and what waits for it.
SELECT p.name, p.owner, p.epoch, p.lease_until >= clock_timestamp() AS held, p.xid, p.sequence, p.reason,
    (SELECT count(*) FROM eventstore.process_instance AS i WHERE i.process = p.name AND i.completed_at IS NULL) AS instances,
    (SELECT count(*) FROM eventstore.task AS t WHERE t.process = p.name AND t.state = 'waiting') AS waiting,
    (SELECT count(*) FROM eventstore.task AS t WHERE t.process = p.name AND t.state = 'failed') AS failed
FROM eventstore.process AS p
ORDER BY p.name
