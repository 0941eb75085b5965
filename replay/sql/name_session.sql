-- what pg_stat_activity shows others who find the lock held
SELECT set_config('application_name', %(name)s, false)
