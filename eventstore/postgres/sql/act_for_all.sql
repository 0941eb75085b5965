-- Search the rows of all tenants; policies admit the role that owns a table.
SELECT set_config('refold.tenant', '*', true)
