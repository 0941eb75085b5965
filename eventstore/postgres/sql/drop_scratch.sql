-- Gone with everything in it, whoever is still connected.
DROP DATABASE IF EXISTS {name} WITH (FORCE)
