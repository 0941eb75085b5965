-- until the transaction ends this session acts for one tenant; a login that no policy holds for acts as a reader meanwhile
SELECT set_config('refold.tenant', %(tenant)s, true), r.rolsuper OR r.rolbypassrls, (
    SELECT d.role FROM eventstore.duty AS d JOIN pg_roles AS reader ON reader.rolname = d.role
    WHERE d.name = 'reader' AND pg_has_role(reader.oid, 'MEMBER')
)
FROM pg_roles AS r WHERE r.rolname = current_user
