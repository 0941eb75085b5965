-- The four missing airports are entered.
INSERT INTO airports (faa, name, tz, tzone)
VALUES
    ('BQN', 'Rafael Hernandez Airport', -4, 'America/Puerto_Rico'),
    ('PSE', 'Mercedita Airport', -4, 'America/Puerto_Rico'),
    ('SJU', 'Luis Munoz Marin International Airport', -4, 'America/Puerto_Rico'),
    ('STT', 'Cyril E. King Airport', -4, 'America/St_Thomas')
