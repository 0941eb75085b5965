-- What the stations of the three airports measured, hour by hour. Some hours are missing.
CREATE TABLE weather (
    origin text NOT NULL,
    temp double precision,
    dewp double precision,
    humid double precision,
    wind_dir double precision,
    wind_speed double precision,
    wind_gust double precision,
    precip double precision,
    pressure double precision,
    visib double precision,
    time_hour timestamptz NOT NULL,
    PRIMARY KEY (origin, time_hour)
)
