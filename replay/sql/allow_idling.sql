-- the snapshot idles while the build is taken to its vector
SET LOCAL idle_in_transaction_session_timeout = 0
