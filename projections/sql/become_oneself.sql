-- what follows in this transaction is done with the login's own rights again
SELECT set_config('role', 'none', true)
