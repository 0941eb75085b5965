-- Give the events from now on back to the relay, which waits until the route is settled.
SELECT eventstore.close_route_v1()
