-- where the parked records of a generation lie: they have had no effect yet
SELECT topic, partition, "offset" FROM projections.parked WHERE generation = %(generation)s
