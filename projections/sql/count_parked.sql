-- a generation with parked records doesn't go live without a waiver
SELECT count(*), count(DISTINCT (topic, key)) FROM projections.parked WHERE generation = %(generation)s
