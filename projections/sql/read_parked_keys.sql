-- the keys whose later records must be parked too, so that their order holds
SELECT DISTINCT topic, key FROM projections.parked WHERE generation = %(generation)s AND key IS NOT NULL
