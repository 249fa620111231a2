-- relay.offer_again(node, uids): central does not know of these groups, which it has merged once: they wait for it again.
CREATE OR REPLACE FUNCTION relay.offer_again(node text, uids bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    UPDATE relay.upload u SET taken_at = NULL WHERE u.node = offer_again.node AND u.uid = ANY (uids);
END $$;
