-- A database of its own for a measurement, whose events must not stay in the user's.
CREATE DATABASE {name}
