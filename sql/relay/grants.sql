-- Who may call what. Nothing is executable by PUBLIC; the two groups get their functions by name, and no table.
ALTER SCHEMA relay OWNER TO tillsync_relay;
DO $$
DECLARE
    thing record;
BEGIN
    FOR thing IN SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'relay' AND c.relkind = 'r' LOOP
        EXECUTE 'ALTER TABLE ' || thing.name || ' OWNER TO tillsync_relay';
        EXECUTE 'REVOKE ALL ON TABLE ' || thing.name || ' FROM PUBLIC';
    END LOOP;
    FOR thing IN SELECT p.oid::regprocedure AS name, p.proname FROM pg_catalog.pg_proc p
                   JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'relay' LOOP
        EXECUTE 'ALTER FUNCTION ' || thing.name || ' OWNER TO tillsync_relay';
        EXECUTE 'REVOKE ALL ON FUNCTION ' || thing.name || ' FROM PUBLIC';
        IF thing.proname IN ('hello', 'get_plan', 'push', 'uploads', 'knows', 'snapshots', 'pull', 'parts', 'claim', 'want_snapshot', 'report_status', 'put_result') THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION ' || thing.name || ' TO tillsync_branch';
        ELSIF thing.proname <> 'caller' THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION ' || thing.name || ' TO tillsync_central';
        END IF;
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO tillsync_branch, tillsync_central', current_database());
END $$;
REVOKE ALL ON SCHEMA relay FROM PUBLIC;
GRANT USAGE ON SCHEMA relay TO tillsync_branch, tillsync_central;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON LANGUAGE plpgsql FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pg_catalog.lo_create(oid), pg_catalog.lo_creat(integer), pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC;
