-- relay.mark_taken(node, uids): central has merged these groups; they are kept until retention for a restored node.
CREATE OR REPLACE FUNCTION relay.mark_taken(node text, uids bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM relay.caller('central');
    UPDATE relay.upload u SET taken_at = clock_timestamp()
     WHERE u.node = mark_taken.node AND u.uid = ANY (uids) AND u.taken_at IS NULL;
END $$;
