-- Take the short way back; append_v2, which it leads into, stays.
DELETE FROM eventstore.privilege WHERE kind = 'function' AND object = 'append_v3';
DROP FUNCTION eventstore.append_v3;
