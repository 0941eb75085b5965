-- Make what is missing of the roles, then owners and grants; the same lock as a migration, for both change the same rows.
SELECT coalesce(bool_and(eventstore.make_roles_v1() AND eventstore.settle_roles_v1()), false)
FROM (SELECT pg_advisory_xact_lock(hashtext('eventstore.eventstore_revision'))) AS alone
