-- Notes the rows that an UPDATE OR REPLACE would remove without firing a delete trigger. Parameters: trigger, table,
-- marks, is_held (as in before_insert.sql), differs (true where a column of a unique rule gets another value).
CREATE TRIGGER $trigger BEFORE UPDATE ON $table
WHEN ($differs) AND ($is_held) AND (SELECT applying FROM tillsync_state) IS NOT 1
BEGIN
$marks
END
