-- Notes the rows that a REPLACE would remove without firing a delete trigger. Parameters: trigger, table, marks (one
-- statement of mark.sql for each unique rule of the table).
CREATE TRIGGER $trigger BEFORE INSERT ON $table
WHEN (SELECT applying FROM tillsync_state) IS NOT 1
BEGIN
$marks
END
