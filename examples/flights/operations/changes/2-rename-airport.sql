-- An airport gets a new name.
UPDATE airports SET name = 'Harry Reid International Airport' WHERE faa = 'LAS'
