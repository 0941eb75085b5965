-- Going back would lose what is still to be done, so waiting tasks must be done or cancelled first; snapshots are a cache.
DO $$
BEGIN
    IF EXISTS (SELECT FROM eventstore.task WHERE state = 'waiting') THEN
        RAISE EXCEPTION 'eventstore.task holds tasks that wait; they would be lost'
            USING ERRCODE = 'RF003', HINT = 'Let `eventstore processes run` finish them, or cancel them.';
    END IF;
END $$;
DROP TABLE eventstore.task;
DROP TABLE eventstore.process_instance;
DROP TABLE eventstore.process;
DROP TABLE eventstore.snapshot;
