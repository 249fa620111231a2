-- A till of the sample chain: the SQLite file of a point of sale, as its vendor made it.
--
-- Names differ from head office's here and there (customer, title, ean). Money is decimal text: SQLite has no
-- decimal type, and a column declared DECIMAL would turn 12.10 into a double.

PRAGMA journal_mode = WAL;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE vat_rate (
    code    TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    percent TEXT NOT NULL
);

CREATE TABLE item_group (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE item (
    id       INTEGER PRIMARY KEY,
    code     TEXT NOT NULL UNIQUE,
    title    TEXT NOT NULL,
    group_id INTEGER NOT NULL REFERENCES item_group (id),
    vat_code TEXT NOT NULL REFERENCES vat_rate (code),
    unit     TEXT NOT NULL,
    price    TEXT NOT NULL,
    active   INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1))
);
CREATE INDEX item_group_id ON item (group_id);

CREATE TABLE barcode (
    ean     TEXT PRIMARY KEY,
    item_id INTEGER NOT NULL REFERENCES item (id),
    pieces  INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE INDEX barcode_item_id ON barcode (item_id);

-- The cashier finds items by a part of their name. An external-content index stays right only if every change of
-- item fires these triggers: a REPLACE that skips the delete trigger would leave ghosts in it.
CREATE VIRTUAL TABLE item_search USING fts5(title, content = 'item', content_rowid = 'id');

CREATE TRIGGER item_search_insert AFTER INSERT ON item BEGIN
    INSERT INTO item_search (rowid, title) VALUES (new.id, new.title);
END;
CREATE TRIGGER item_search_delete AFTER DELETE ON item BEGIN
    INSERT INTO item_search (item_search, rowid, title) VALUES ('delete', old.id, old.title);
END;
CREATE TRIGGER item_search_update AFTER UPDATE ON item BEGIN
    INSERT INTO item_search (item_search, rowid, title) VALUES ('delete', old.id, old.title);
    INSERT INTO item_search (rowid, title) VALUES (new.id, new.title);
END;

CREATE TABLE customer (
    id        INTEGER PRIMARY KEY,
    full_name TEXT NOT NULL,
    country   TEXT NOT NULL,
    email     TEXT UNIQUE,
    phone     TEXT,
    discount  TEXT NOT NULL DEFAULT '0',
    blocked   INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE price_list (
    id          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('promotion', 'customer')),
    name        TEXT NOT NULL,
    customer_id INTEGER,
    valid_from  TEXT NOT NULL,
    valid_to    TEXT
);
CREATE INDEX price_list_customer_id ON price_list (customer_id);

CREATE TABLE price_list_item (
    price_list_id INTEGER NOT NULL REFERENCES price_list (id) ON DELETE CASCADE,
    item_id       INTEGER NOT NULL,
    price         TEXT NOT NULL,
    PRIMARY KEY (price_list_id, item_id)
) WITHOUT ROWID;

-- Sales stay at the till; head office gets them as closures. A cancellation is a receipt with negative quantities.
CREATE TABLE closure (
    number    INTEGER PRIMARY KEY,
    day       TEXT NOT NULL UNIQUE,
    receipts  INTEGER NOT NULL,
    amount    TEXT NOT NULL,
    closed_at TEXT NOT NULL
);

CREATE TABLE closure_line (
    number      INTEGER NOT NULL REFERENCES closure (number),
    line_no     INTEGER NOT NULL,
    item_id     INTEGER NOT NULL,
    customer_id INTEGER,
    quantity    TEXT NOT NULL,
    amount      TEXT NOT NULL,
    PRIMARY KEY (number, line_no)
) WITHOUT ROWID;

CREATE TABLE receipt (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    document       TEXT NOT NULL UNIQUE,
    sold_at        TEXT NOT NULL,
    customer_id    INTEGER,
    amount         TEXT NOT NULL,
    closure_number INTEGER REFERENCES closure (number)
);
CREATE INDEX receipt_open ON receipt (id) WHERE closure_number IS NULL;

CREATE TABLE receipt_line (
    receipt_id INTEGER NOT NULL REFERENCES receipt (id),
    line_no    INTEGER NOT NULL,
    item_id    INTEGER NOT NULL,
    quantity   INTEGER NOT NULL,
    price      TEXT NOT NULL,
    amount     TEXT NOT NULL,
    PRIMARY KEY (receipt_id, line_no)
) WITHOUT ROWID;

CREATE TABLE supplier_order (
    id          TEXT PRIMARY KEY,
    store_id    INTEGER NOT NULL,
    supplier    TEXT NOT NULL,
    status      TEXT NOT NULL DEFAULT 'draft',
    note        TEXT,
    ordered_at  TEXT NOT NULL,
    expected_on TEXT,
    document_no INTEGER
);
CREATE INDEX supplier_order_status ON supplier_order (status);

CREATE TABLE supplier_order_line (
    order_id TEXT NOT NULL REFERENCES supplier_order (id),
    line_no  INTEGER NOT NULL,
    item_id  INTEGER NOT NULL,
    ordered  INTEGER NOT NULL,
    shipped  INTEGER NOT NULL DEFAULT 0,
    received INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, line_no)
) WITHOUT ROWID;
