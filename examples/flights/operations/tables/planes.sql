-- The register of aircraft by tail number. Of 4,043 that flew 721 are not in it.
CREATE TABLE planes (
    tailnum text PRIMARY KEY,
    year integer,
    type text,
    manufacturer text,
    model text,
    engines integer,
    seats integer,
    speed integer,
    engine text
)
