-- relay.push(...): takes one part of an upload group from a branch. The same part again is answered, not stored twice.
-- Raises 22023 where the part does not follow the one before it, 54000 where the branch has too much waiting.
CREATE OR REPLACE FUNCTION relay.push(
    uid bigint, part integer, last boolean,
    prev_seq bigint, prev_nonce bigint, end_seq bigint, end_nonce bigint, frame bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    me   text := relay.caller('branch');
    next bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);  -- a pooler may have dropped the caller's own
    IF part > 0 AND NOT EXISTS (SELECT FROM relay.upload u WHERE u.node = me AND u.uid = push.uid AND u.part = push.part - 1) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('part %s of upload %s does not follow part %s', part, uid, part - 1);
    END IF;
    INSERT INTO relay.counter AS c (node, uploads) VALUES (me, 1)
        ON CONFLICT ON CONSTRAINT counter_pkey DO UPDATE SET uploads = c.uploads + 1
        RETURNING c.uploads INTO next;
    -- 4 GB as they travel, 16 GB as they say that they unfold to; looked at now and then, since it reads all that waits
    IF next % 16 = 0 AND EXISTS (
        SELECT FROM relay.upload u WHERE u.node = me AND u.taken_at IS NULL
        HAVING sum(octet_length(u.frame)) > 4::bigint << 30
            OR sum(('x' || encode(substring(u.frame FROM 9 FOR 4), 'hex'))::bit(32)::bigint) > 16::bigint << 30)
    THEN
        RAISE program_limit_exceeded USING MESSAGE = format('too much of %s waits for head office', me);
    END IF;
    INSERT INTO relay.upload (node, id, uid, part, last, prev_seq, prev_nonce, end_seq, end_nonce, frame)
        VALUES (me, next, uid, part, last, prev_seq, prev_nonce, end_seq, end_nonce, frame)
        ON CONFLICT ON CONSTRAINT upload_node_uid_part_key DO NOTHING;
END $$;
