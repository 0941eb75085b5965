-- Going back would delete history, so only an empty store can be taken away.
DO $$
BEGIN
    IF EXISTS (SELECT FROM eventstore.event) THEN
        RAISE EXCEPTION 'eventstore.event holds events; they would be lost'
            USING ERRCODE = 'RF003', HINT = 'Drop the database instead, if that is what you want.';
    END IF;
END $$;
DROP FUNCTION eventstore.append_v1;
DROP FUNCTION eventstore.recorded_v1;
DROP FUNCTION eventstore.import_v1;
DROP TABLE eventstore.event;
DROP TABLE eventstore.stream;
DROP FUNCTION eventstore.refuse_change_v1;
