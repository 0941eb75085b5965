-- A tail number was entered wrongly: the row's key changes.
UPDATE planes SET tailnum = 'N10156X' WHERE tailnum = 'N10156'
