-- Give a process back at once, so that the next owner need not wait for the lease to run out.
UPDATE eventstore.process SET lease_until = '-infinity' WHERE name = %s AND epoch = %s
