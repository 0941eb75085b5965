-- The carriers that fly from New York, by their two-letter code.
CREATE TABLE airlines (
    carrier text PRIMARY KEY,
    name text NOT NULL
)
