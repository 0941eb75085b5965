-- Which role has which duty in this database.
SELECT name, role FROM eventstore.duty ORDER BY name
