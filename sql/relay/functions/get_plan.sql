-- relay.get_plan(): the newest plan's body, or null where central has not published one.
CREATE OR REPLACE FUNCTION relay.get_plan() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM relay.caller('branch');
    RETURN (SELECT p.body FROM relay.plan p ORDER BY p.version DESC LIMIT 1);
END $$;
