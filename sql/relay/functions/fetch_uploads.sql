-- relay.fetch_uploads(bytes_max): complete upload groups that central has not taken, each node's in its order.
-- At least one part, else as many as fit; a group may be cut by the limit and goes on in the next call (after).
CREATE OR REPLACE FUNCTION relay.fetch_uploads(after_node text, after_id bigint, bytes_max bigint) RETURNS TABLE (
    node text, id bigint, uid bigint, part integer, last boolean,
    prev_seq bigint, prev_nonce bigint, end_seq bigint, end_nonce bigint, frame bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM relay.caller('central');
    RETURN QUERY
    WITH waiting AS (
        SELECT u.node, u.id, octet_length(u.frame) AS bytes
          FROM relay.upload u
         WHERE u.taken_at IS NULL AND (u.node, u.id) > (after_node, after_id)
           AND EXISTS (SELECT FROM relay.upload l WHERE l.node = u.node AND l.uid = u.uid AND l.last)
         ORDER BY u.node, u.id LIMIT 1000),
    fitting AS (
        SELECT w.node, w.id FROM (
            SELECT w.*, sum(w.bytes) OVER (ORDER BY w.node, w.id) - w.bytes AS before FROM waiting w) w
         WHERE w.before < bytes_max)
    SELECT u.node, u.id, u.uid, u.part, u.last, u.prev_seq, u.prev_nonce, u.end_seq, u.end_nonce, u.frame
      FROM fitting f JOIN relay.upload u ON u.node = f.node AND u.id = f.id
     ORDER BY u.node, u.id;
END $$;
