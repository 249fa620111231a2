-- relay.uploads(after): the branch's own uploads that the relay still keeps, for a till that lost them with a restore.
CREATE OR REPLACE FUNCTION relay.uploads(after bigint) RETURNS TABLE (
    id bigint, uid bigint, part integer, last boolean,
    prev_seq bigint, prev_nonce bigint, end_seq bigint, end_nonce bigint, frame bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    me text := relay.caller('branch');
BEGIN
    RETURN QUERY
        SELECT u.id, u.uid, u.part, u.last, u.prev_seq, u.prev_nonce, u.end_seq, u.end_nonce, u.frame
          FROM relay.upload u WHERE u.node = me AND u.id > after ORDER BY u.id LIMIT 20;
END $$;
