-- What goes wrong in the demo on purpose. `till_` blocks run in a till's file, `office_` blocks at central.

-- name: till_order
INSERT INTO supplier_order (id, store_id, supplier, ordered_at) VALUES (:id, :store_id, 'Main warehouse', :at);

-- name: till_line
INSERT INTO supplier_order_line (order_id, line_no, item_id, ordered) VALUES (:id, :line_no, :item_id, 1);

-- name: till_note
UPDATE supplier_order SET note = :note WHERE id = :id;

-- name: till_notes
SELECT note FROM supplier_order WHERE id = :id;

-- name: till_any_item
SELECT id FROM item ORDER BY id LIMIT 1;

-- name: till_price
UPDATE item SET price = '0.01' WHERE id = :item_id;

-- name: till_prices
SELECT price FROM item WHERE id = :item_id;

-- name: till_told
SELECT new FROM tillsync_notice WHERE kind = 'conflict' AND "column" = 'note' AND key = json_array(:id);

-- name: office_note
UPDATE supplier_order SET note = %(note)s WHERE id = %(id)s;

-- name: office_order
SELECT count(*) FROM supplier_order WHERE id = %(id)s;

-- name: office_lines
SELECT count(*) FROM supplier_order_line WHERE order_id = %(id)s;

-- name: office_prices
SELECT price::text FROM item WHERE id = %(item_id)s;

-- name: office_new_item
INSERT INTO item (id, code, name, group_id, vat_code, price, purchase_price)
SELECT %(item_id)s, 'SPECIAL', 'Special order', i.group_id, i.vat_code, 9.99, 1.234567 FROM item i ORDER BY i.id LIMIT 1;
