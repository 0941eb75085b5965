-- What is added to this server's transaction ids; refused (RF019) where a restored store was not settled.
SELECT eventstore.shift_v1()
