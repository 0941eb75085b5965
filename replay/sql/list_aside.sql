-- what a generation set aside had no effect on its rows
SELECT topic, partition, "offset" FROM projections.parked WHERE generation = %(generation)s
