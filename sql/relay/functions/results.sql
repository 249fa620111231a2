-- relay.results(rows_max): answers that wait for central, each node's in its order.
CREATE OR REPLACE FUNCTION relay.results(rows_max integer) RETURNS TABLE (node text, id bigint, at timestamptz, frame bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM relay.caller('central');
    RETURN QUERY SELECT r.node, r.id, r.at, r.frame FROM relay.result r ORDER BY r.node, r.id LIMIT rows_max;
END $$;
