-- relay.put_reload(node, streams, n): the branch needs a snapshot of these streams of tick n or later.
CREATE OR REPLACE FUNCTION relay.put_reload(node text, streams integer[], n bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    UPDATE relay.subscription s SET reload = put_reload.n WHERE s.node = put_reload.node AND s.stream = ANY (streams);
END $$;
