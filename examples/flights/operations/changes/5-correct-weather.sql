-- A station's thermometer is found to be two degrees off: its last week is corrected.
UPDATE weather SET temp = temp - 2 WHERE origin = 'LGA' AND time_hour >= '2013-12-24T05:00:00Z'
