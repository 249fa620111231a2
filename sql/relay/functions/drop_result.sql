-- relay.drop_result(node, id): central has this answer.
CREATE OR REPLACE FUNCTION relay.drop_result(node text, id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    DELETE FROM relay.result r WHERE r.node = drop_result.node AND r.id = drop_result.id;
END $$;
