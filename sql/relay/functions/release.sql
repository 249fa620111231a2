-- relay.release(node): the next machine that comes with the branch's account and file is the branch.
CREATE OR REPLACE FUNCTION relay.release(node text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    DELETE FROM relay.machine m WHERE m.node = release.node;
END $$;
