-- Give the events from now on to Debezium.
SELECT eventstore.open_route_v1(%s, %s)
