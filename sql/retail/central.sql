-- Head office of the sample chain: what an ERP keeps, in schema public.
--
-- The schema knows nothing of replication. Two of its own triggers matter to it all the same: a closure line posts
-- its stock movement, and an order gets head office's document number. Both run in the transaction of the merge.

CREATE TABLE warehouse (
    id   integer PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL
);

CREATE TABLE store (
    id           integer PRIMARY KEY,
    code         text NOT NULL UNIQUE,
    name         text NOT NULL,
    price_group  text NOT NULL,
    warehouse_id integer NOT NULL REFERENCES warehouse
);

-- The register of tills. A till's sales leave the warehouse that is written here.
CREATE TABLE till (
    code         text PRIMARY KEY,
    store_id     integer NOT NULL REFERENCES store,
    warehouse_id integer NOT NULL REFERENCES warehouse
);
CREATE INDEX till_store_id ON till (store_id);

CREATE TABLE vat_rate (
    code    text PRIMARY KEY,
    name    text NOT NULL,
    percent numeric(5,2) NOT NULL CHECK (percent BETWEEN 0 AND 100)
);

CREATE TABLE item_group (
    id   integer PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE item (
    id             integer PRIMARY KEY,
    code           text NOT NULL UNIQUE,
    name           text NOT NULL,
    group_id       integer NOT NULL REFERENCES item_group,
    vat_code       text NOT NULL REFERENCES vat_rate,
    unit           text NOT NULL DEFAULT 'pc',
    price          numeric(12,2) NOT NULL CHECK (price >= 0),
    purchase_price numeric(14,6) NOT NULL CHECK (purchase_price >= 0),
    active         boolean NOT NULL DEFAULT true
);
CREATE INDEX item_group_id ON item (group_id);

CREATE TABLE barcode (
    code    text PRIMARY KEY CHECK (code ~ '^[0-9]{8,14}$'),
    item_id integer NOT NULL REFERENCES item,
    pieces  integer NOT NULL DEFAULT 1 CHECK (pieces > 0)
);
CREATE INDEX barcode_item_id ON barcode (item_id);

-- The selection: which items a store carries.
CREATE TABLE item_store (
    item_id  integer NOT NULL REFERENCES item,
    store_id integer NOT NULL REFERENCES store,
    PRIMARY KEY (item_id, store_id)
);
CREATE INDEX item_store_store_id ON item_store (store_id);

CREATE TABLE contact (
    id           integer PRIMARY KEY,
    name         text NOT NULL,
    country      text NOT NULL,
    email        text UNIQUE,
    phone        text,
    discount     numeric(5,2) NOT NULL DEFAULT 0 CHECK (discount BETWEEN 0 AND 100),
    credit_limit numeric(12,2) NOT NULL DEFAULT 0,
    blocked      boolean NOT NULL DEFAULT false
);

-- Which contacts are shared with which store.
CREATE TABLE contact_store (
    contact_id integer NOT NULL REFERENCES contact,
    store_id   integer NOT NULL REFERENCES store,
    PRIMARY KEY (contact_id, store_id)
);
CREATE INDEX contact_store_store_id ON contact_store (store_id);

-- A promotion belongs to one store or to a price group of stores; a customer's list to its contact.
CREATE TABLE price_list (
    id          integer PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('promotion', 'customer')),
    name        text NOT NULL,
    store_id    integer REFERENCES store,
    price_group text,
    contact_id  integer REFERENCES contact,
    valid_from  date NOT NULL,
    valid_to    date,
    CHECK (valid_to >= valid_from),
    CHECK (num_nonnulls(store_id, price_group, contact_id) = 1),
    CHECK ((kind = 'customer') = (contact_id IS NOT NULL))
);
CREATE INDEX price_list_store_id ON price_list (store_id);
CREATE INDEX price_list_price_group ON price_list (price_group);
CREATE INDEX price_list_contact_id ON price_list (contact_id);

CREATE TABLE price_list_item (
    price_list_id integer NOT NULL REFERENCES price_list ON DELETE CASCADE,
    item_id       integer NOT NULL REFERENCES item,
    price         numeric(12,2) NOT NULL CHECK (price >= 0),
    PRIMARY KEY (price_list_id, item_id)
);

CREATE TABLE stock (
    warehouse_id integer NOT NULL REFERENCES warehouse,
    item_id      integer NOT NULL REFERENCES item,
    quantity     numeric(14,3) NOT NULL,
    PRIMARY KEY (warehouse_id, item_id)
);

-- A till's day. Numbers of a till grow without holes.
CREATE TABLE closure (
    till      text NOT NULL REFERENCES till,
    number    integer NOT NULL CHECK (number > 0),
    day       date NOT NULL,
    receipts  integer NOT NULL CHECK (receipts >= 0),
    amount    numeric(14,2) NOT NULL,
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (till, number)
);
CREATE INDEX closure_day ON closure (day);

-- Turnover per item; contact_id is null for anonymous sales and set for what one customer bought.
CREATE TABLE closure_line (
    till       text NOT NULL,
    number     integer NOT NULL,
    line_no    integer NOT NULL CHECK (line_no > 0),
    item_id    integer NOT NULL REFERENCES item,
    contact_id integer REFERENCES contact,
    quantity   numeric(14,3) NOT NULL,
    amount     numeric(14,2) NOT NULL,
    PRIMARY KEY (till, number, line_no),
    FOREIGN KEY (till, number) REFERENCES closure
);
-- The item stands first: an index that begins as the primary key does could be taken for it by the foreign key's
-- check of a movement, which would then read the whole closure for every line of it.
CREATE UNIQUE INDEX closure_line_once ON closure_line (item_id, till, number, coalesce(contact_id, -1));

-- kind 'sale' comes from a closure line and names it; 'count' is head office's own adjustment.
CREATE TABLE stock_movement (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    warehouse_id integer NOT NULL REFERENCES warehouse,
    item_id      integer NOT NULL REFERENCES item,
    kind         text NOT NULL CHECK (kind IN ('sale', 'count')),
    day          date NOT NULL,
    quantity     numeric(14,3) NOT NULL,
    till         text,
    number       integer,
    line_no      integer,
    CHECK ((kind = 'sale') = (till IS NOT NULL AND number IS NOT NULL AND line_no IS NOT NULL)),
    UNIQUE (till, number, line_no),
    FOREIGN KEY (till, number, line_no) REFERENCES closure_line
);
CREATE INDEX stock_movement_item ON stock_movement (item_id, warehouse_id);

-- An internal order of a store. The id is drawn at the till and starts with its code, so it is unique in the chain.
CREATE TABLE supplier_order (
    id          text PRIMARY KEY,
    store_id    integer NOT NULL REFERENCES store,
    supplier    text NOT NULL,
    status      text NOT NULL DEFAULT 'draft'
                CHECK (status IN ('draft', 'sent', 'confirmed', 'shipped', 'received')),
    note        text,
    ordered_at  timestamptz NOT NULL,
    expected_on date,
    document_no bigint UNIQUE
);
CREATE INDEX supplier_order_store_id ON supplier_order (store_id);
CREATE INDEX supplier_order_status ON supplier_order (status);

CREATE TABLE supplier_order_line (
    order_id  text NOT NULL REFERENCES supplier_order,
    line_no   integer NOT NULL CHECK (line_no > 0),
    item_id   integer NOT NULL REFERENCES item,
    ordered   integer NOT NULL CHECK (ordered > 0),
    shipped   integer NOT NULL DEFAULT 0,
    received  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, line_no)
);

CREATE SEQUENCE supplier_order_document_no START 100001;

-- Stock is the sum of its movements. Statement level: one closure is one statement of some hundred lines.
-- Rows are taken in key order, so that two closures posted at once cannot wait for each other.
CREATE FUNCTION stock_movement_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stock AS s (warehouse_id, item_id, quantity)
    SELECT m.warehouse_id, m.item_id, sum(m.quantity)
    FROM posted m
    GROUP BY m.warehouse_id, m.item_id
    ORDER BY m.warehouse_id, m.item_id
    ON CONFLICT (warehouse_id, item_id) DO UPDATE SET quantity = s.quantity + EXCLUDED.quantity;
    RETURN NULL;
END $$;

CREATE TRIGGER stock_movement_adds_up AFTER INSERT ON stock_movement
    REFERENCING NEW TABLE AS posted
    FOR EACH STATEMENT EXECUTE FUNCTION stock_movement_adds_up();

-- What a till sold leaves the warehouse of that till.
CREATE FUNCTION closure_line_posts_stock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stock_movement (warehouse_id, item_id, kind, day, quantity, till, number, line_no)
    SELECT t.warehouse_id, l.item_id, 'sale', c.day, -l.quantity, l.till, l.number, l.line_no
    FROM posted l
    JOIN closure c ON c.till = l.till AND c.number = l.number
    JOIN till t ON t.code = l.till;
    RETURN NULL;
END $$;

CREATE TRIGGER closure_line_posts_stock AFTER INSERT ON closure_line
    REFERENCING NEW TABLE AS posted
    FOR EACH STATEMENT EXECUTE FUNCTION closure_line_posts_stock();

-- An order that has been sent gets head office's number. The till learns it from the row that comes back.
CREATE FUNCTION supplier_order_is_numbered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'draft' AND NEW.document_no IS NULL THEN
        NEW.document_no := nextval('public.supplier_order_document_no');
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER supplier_order_is_numbered BEFORE INSERT OR UPDATE ON supplier_order
    FOR EACH ROW EXECUTE FUNCTION supplier_order_is_numbered();
