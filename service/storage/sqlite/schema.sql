-- The store in one SQLite file, version 1. Later versions are migration_0002.sql and so on, beside this file.
--
-- A model's `id` is the epoch that it was made with. Epochs never come back, so a deleted model that is made again is
-- another one: what is large of the first is left where it is, invisible, until housekeeping drops it bit by bit
-- (`deleted_models`). Ids that are read in one transaction and relied on in another are AUTOINCREMENT: one that is used
-- again would let a fold replace counts that it never read, or housekeeping drop what has just been written. Wide columns
-- stand last, so that reading the others does not touch their pages.

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO counters VALUES ('epoch', 0);

CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    configuration BLOB NOT NULL
);

CREATE TABLE deleted_models (
    id INTEGER PRIMARY KEY
);

CREATE TABLE activations (
    id INTEGER PRIMARY KEY,
    model_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    from_us INTEGER,
    at_us INTEGER NOT NULL
);

CREATE INDEX activations_of_model ON activations (model_id);

-- Jobs may begin before their model is configured: references belong to a name.
CREATE TABLE model_references (
    number INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    id TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    updated_at_us INTEGER NOT NULL,
    summary BLOB NOT NULL,
    document BLOB,
    UNIQUE (model, id)
);

CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    segment TEXT NOT NULL,
    UNIQUE (model_id, version, reference_id, segment)
);

-- What was committed and is not folded yet. The index holds all but the payload: sums of rows never touch the table.
CREATE TABLE deltas (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL,
    pane_start_us INTEGER NOT NULL,
    window_start_us INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    late INTEGER NOT NULL,
    payload BLOB NOT NULL
);

CREATE INDEX deltas_by_pane ON deltas (series_id, pane_start_us, window_start_us, rows, late);

-- One row a pane; every fold gives it a new id.
CREATE TABLE panes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL,
    pane_start_us INTEGER NOT NULL,
    window_start_us INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    late INTEGER NOT NULL,
    payload BLOB NOT NULL
);

CREATE INDEX panes_by_start ON panes (series_id, pane_start_us, window_start_us, rows, late);

CREATE TABLE progress (
    model_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    newest_us INTEGER,
    advanced_at_us INTEGER,
    evaluated_until_us INTEGER,
    PRIMARY KEY (model_id, version)
) WITHOUT ROWID;

CREATE TABLE dirty (
    model_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    window_start_us INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (model_id, version, window_start_us)
) WITHOUT ROWID;

-- Numbered in the order they were made, without gaps: the oldest are found without looking at the others.
CREATE TABLE marks_made (
    model_id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL
);

CREATE TABLE marks (
    model_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    "key" TEXT NOT NULL,
    digest BLOB NOT NULL,
    answer BLOB NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (model_id, number)
) WITHOUT ROWID;

CREATE UNIQUE INDEX marks_by_key ON marks (model_id, "key");

CREATE TABLE evaluations (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    model_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    segment TEXT NOT NULL,
    reference_id TEXT NOT NULL,
    size TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    rows INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    document BLOB NOT NULL
);

CREATE UNIQUE INDEX evaluations_by_key ON evaluations (model_id, version, segment, reference_id, size, start_us);
CREATE INDEX evaluations_by_end ON evaluations (model_id, version, end_us);

CREATE TABLE alerts (
    model_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    segment TEXT NOT NULL,
    revision INTEGER NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (model_id, version, segment)
) WITHOUT ROWID;

-- `until_us` is where the version was, in event time, when the episode was written last: the end of a closed one.
CREATE TABLE episodes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    model_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    opened_at_us INTEGER NOT NULL,
    open INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    document BLOB NOT NULL
);

CREATE INDEX episodes_by_opening ON episodes (opened_at_us);

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    end_us INTEGER NOT NULL,
    document BLOB NOT NULL
);

CREATE INDEX decisions_by_end ON decisions (model_id, version, end_us);

CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    target TEXT NOT NULL,
    order_key TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    next_attempt_us INTEGER NOT NULL,
    updated_at_us INTEGER NOT NULL,
    last TEXT NOT NULL,
    claimed_by TEXT,
    claimed_until_us INTEGER NOT NULL,
    notice BLOB NOT NULL
);

CREATE INDEX deliveries_by_state ON deliveries (target, state);
CREATE INDEX deliveries_by_model ON deliveries (model);
CREATE INDEX deliveries_by_age ON deliveries (created_at_us);
CREATE INDEX deliveries_pending ON deliveries (target, order_key, sequence, number) WHERE state = 'pending';

CREATE TABLE targets_disabled (
    target TEXT PRIMARY KEY,
    reason TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until_us INTEGER NOT NULL
) WITHOUT ROWID;

-- Written by `check`, to see whether a commit would fit.
CREATE TABLE health (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    filler BLOB NOT NULL
);
