-- Let the relay go on: all that Debezium had to carry is in the log.
SELECT eventstore.settle_route_v1()
