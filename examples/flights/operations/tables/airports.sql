-- Airports by FAA code. Four destinations are missing, as in the original data.
CREATE TABLE airports (
    faa text PRIMARY KEY,
    name text NOT NULL,
    lat double precision,
    lon double precision,
    alt integer,
    tz integer,
    dst text,
    tzone text
)
