-- Puts back what grants.sql took from PUBLIC, as a fresh database has it, and drops the groups where no other relay of
-- the cluster needs them. Central's login stays: it may have been there before.
DO $$
DECLARE
    wanted name;
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM tillsync_branch, tillsync_central', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
    IF to_regnamespace('public') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA public TO PUBLIC;
    END IF;
    FOREACH wanted IN ARRAY ARRAY['tillsync_branch', 'tillsync_central', 'tillsync_relay'] LOOP
        BEGIN
            EXECUTE format('DROP ROLE IF EXISTS %I', wanted);
        EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
            NULL;  -- another relay of this cluster has it
        END;
    END LOOP;
END $$;
GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid), pg_catalog.lo_creat(integer), pg_catalog.lo_from_bytea(oid, bytea) TO PUBLIC;
