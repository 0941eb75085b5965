-- until the transaction ends, read with the rights of readers, for whom policies hold
SELECT set_config('role', %(role)s, true)
