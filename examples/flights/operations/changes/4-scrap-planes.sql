-- The oldest aircraft are scrapped and leave the register.
DELETE FROM planes WHERE year < 1980
