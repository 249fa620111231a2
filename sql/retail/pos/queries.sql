-- What the point of sale does in its own file. SQLite; parameters are named.

-- name: book_receipt
INSERT INTO receipt (document, sold_at, customer_id, amount) VALUES (:document, :sold_at, :customer_id, :amount);

-- name: book_receipt_line
INSERT INTO receipt_line (receipt_id, line_no, item_id, quantity, price, amount) VALUES (?, ?, ?, ?, ?, ?);

-- name: close_day
-- The next number, over every receipt that is still open.
INSERT INTO closure (number, day, receipts, amount, closed_at)
SELECT (SELECT coalesce(max(number), 0) + 1 FROM closure), :day, count(*),
       printf('%.2f', coalesce(sum(CAST(round(amount * 100) AS INTEGER)), 0) / 100.0), :closed_at
FROM receipt WHERE closure_number IS NULL;

-- name: close_lines
-- Turnover per item: what each known customer bought apart, all anonymous sales together.
INSERT INTO closure_line (number, line_no, item_id, customer_id, quantity, amount)
SELECT :number, row_number() OVER (ORDER BY l.item_id, r.customer_id), l.item_id, r.customer_id,
       CAST(sum(l.quantity) AS TEXT), printf('%.2f', sum(CAST(round(l.amount * 100) AS INTEGER)) / 100.0)
FROM receipt r JOIN receipt_line l ON l.receipt_id = r.id
WHERE r.closure_number IS NULL
GROUP BY l.item_id, r.customer_id;

-- name: close_receipts
UPDATE receipt SET closure_number = :number WHERE closure_number IS NULL;

-- name: draft_order
INSERT INTO supplier_order (id, store_id, supplier, ordered_at)
SELECT :id, CAST(value AS INTEGER), :supplier, :ordered_at FROM setting WHERE name = 'store_id';

-- name: draft_order_lines
-- What sold best since the last closure, as many pieces again.
INSERT INTO supplier_order_line (order_id, line_no, item_id, ordered)
SELECT :id, row_number() OVER (ORDER BY item_id), item_id, pieces
FROM (SELECT l.item_id, sum(l.quantity) AS pieces
      FROM receipt r JOIN receipt_line l ON l.receipt_id = r.id
      WHERE r.closure_number IS NULL
      GROUP BY l.item_id HAVING sum(l.quantity) > 0
      ORDER BY pieces DESC, l.item_id LIMIT 8);

-- name: round_up_order
-- The cashier looks the draft over before it is sent: full dozens of the largest line, and the smallest goes.
UPDATE supplier_order_line SET ordered = (ordered + 11) / 12 * 12 WHERE order_id = :id AND line_no = 1;

-- name: strike_order_line
DELETE FROM supplier_order_line WHERE order_id = :id AND line_no > 1
  AND line_no = (SELECT max(line_no) FROM supplier_order_line WHERE order_id = :id);

-- name: send_orders
UPDATE supplier_order SET status = 'sent' WHERE status = 'draft' AND id LIKE :mine;

-- name: urge_orders
-- Head office may be writing its own note at the same time.
UPDATE supplier_order SET note = 'urgent, asked on ' || :day WHERE status IN ('sent', 'confirmed') AND id LIKE :mine;

-- name: receive_lines
UPDATE supplier_order_line SET received = shipped
WHERE order_id IN (SELECT id FROM supplier_order WHERE status = 'shipped' AND id LIKE :mine);

-- name: receive_orders
UPDATE supplier_order SET status = 'received' WHERE status = 'shipped' AND id LIKE :mine;
