-- Notes the rows that an UPDATE OR REPLACE would remove without firing a delete trigger. Parameters: trigger, table,
-- marks, differs (true where a column of a unique rule gets another value).
CREATE TRIGGER $trigger BEFORE UPDATE ON $table
WHEN (SELECT applying FROM tillsync_state) IS NOT 1 AND ($differs)
BEGIN
$marks
END
