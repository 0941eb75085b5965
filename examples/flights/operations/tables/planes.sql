-- The register of aircraft by tail number. One in six that flew is not in it.
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
