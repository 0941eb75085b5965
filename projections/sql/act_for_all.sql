-- a worker writes the rows of every tenant; policies admit it if it is of the role that owns the tables
SELECT set_config('refold.tenant', '*', false)
