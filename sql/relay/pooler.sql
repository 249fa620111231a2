-- For a pooler in front of the relay, PgBouncer say: the login that asks for the verifiers of whoever comes, which are
-- made by `branch add` and so cannot stand in a file. Run by a superuser in the relay's database; again changes nothing.
-- It makes the login tillsync_pooler without a password: give it one. The pooler's settings are
--   auth_user = tillsync_pooler
--   auth_query = SELECT login, verifier FROM relay_pooler.verifier($1)
-- It learns of Tillsync's logins alone, and of none that has expired.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tillsync_pooler') THEN
        CREATE ROLE tillsync_pooler LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO tillsync_pooler', current_database());
END $$;
CREATE SCHEMA IF NOT EXISTS relay_pooler;
CREATE OR REPLACE FUNCTION relay_pooler.verifier(wanted text, OUT login text, OUT verifier text) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.rolname::text, a.rolpassword
      FROM pg_catalog.pg_authid a
     WHERE a.rolname = wanted AND a.rolcanlogin AND NOT a.rolsuper
       AND coalesce(a.rolvaliduntil, 'infinity') > now()
       AND EXISTS (SELECT FROM pg_catalog.pg_auth_members m
                    WHERE m.member = a.oid AND m.roleid IN ('tillsync_branch'::regrole, 'tillsync_central'::regrole))
$$;
REVOKE ALL ON SCHEMA relay_pooler FROM PUBLIC;
REVOKE ALL ON FUNCTION relay_pooler.verifier(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA relay_pooler TO tillsync_pooler;
GRANT EXECUTE ON FUNCTION relay_pooler.verifier(text) TO tillsync_pooler;
