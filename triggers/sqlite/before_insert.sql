-- Notes the rows that a REPLACE would remove without firing a delete trigger. Parameters: trigger, table, marks (one
-- statement of mark.sql for each unique rule of the table), is_held (true where one of them finds a row).
-- Asked first, since it is rarely true: to enter a trigger's body, and `applying`, cost each row of the application's.
CREATE TRIGGER $trigger BEFORE INSERT ON $table
WHEN ($is_held) AND (SELECT applying FROM tillsync_state) IS NOT 1
BEGIN
$marks
END
