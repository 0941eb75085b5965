-- Forget where translations stand; the events that they recorded stay.
DELETE FROM eventstore.privilege WHERE object = 'eventstore.translation';
DROP TABLE eventstore.translation;
