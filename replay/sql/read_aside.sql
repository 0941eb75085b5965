-- how many records of a topic a generation has set aside, which its rows therefore lack
SELECT count(*) FROM projections.parked WHERE generation = %(generation)s AND topic = %(topic)s
