-- relay.knows(n, token): whether the relay still has this tick. A till whose tick is unknown needs snapshots.
CREATE OR REPLACE FUNCTION relay.knows(n bigint, token bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM relay.caller('branch');
    RETURN EXISTS (SELECT FROM relay.tick t WHERE t.n = knows.n AND t.token = knows.token);
END $$;
