-- What a unit's agent keeps of its own unit: the amendments on their way to the daemon, and the current
-- version of each record. Times are milliseconds since 1970-01-01T00:00:00Z.

-- How the outbox stands. One row.
CREATE TABLE outbox (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    store_id     BLOB    NOT NULL CHECK (length(store_id) = 16),
    -- The last seq known to be the daemon's, always the end of a batch, and the chain after it.
    acked_seq    INTEGER NOT NULL,
    acked_chain  BLOB    NOT NULL CHECK (length(acked_chain) = 16),
    last_seq     INTEGER NOT NULL CHECK (last_seq >= acked_seq),
    last_chain   BLOB    NOT NULL CHECK (length(last_chain) = 16),
    -- While every record is queued again: the record.id up to which that is done.
    resend_after INTEGER,
    rejected     INTEGER NOT NULL DEFAULT 0,
    older        INTEGER NOT NULL DEFAULT 0,
    rebased      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Amendments that the daemon has not acknowledged, as they travel: an encoded BatchHeader and a body. Ids
-- rise with seqs.
CREATE TABLE batch (
    id           INTEGER PRIMARY KEY,
    first_seq    INTEGER NOT NULL,
    last_seq     INTEGER NOT NULL,
    chain_before BLOB    NOT NULL,
    chain_after  BLOB    NOT NULL,
    header       BLOB    NOT NULL,
    body         BLOB    NOT NULL
) STRICT;
CREATE INDEX batch_last_seq ON batch (last_seq);

-- What the newest version of each Patient says, taken or waiting.
CREATE TABLE patient (
    id          TEXT    PRIMARY KEY,
    -- The NHS number it claims.
    number      INTEGER,
    -- 0 no number, 1 a verified one, 2 an unverified one, 3 several, 4 the Patient is retracted.
    standing    INTEGER NOT NULL,
    restricted  INTEGER NOT NULL,
    -- The Patient it was merged into.
    replaced_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX patient_number ON patient (number) WHERE number IS NOT NULL;
CREATE INDEX patient_replaced_by ON patient (replaced_by) WHERE replaced_by IS NOT NULL;

-- The current version of each record, and tombstones.
CREATE TABLE record (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    version      INTEGER NOT NULL,
    -- 0: a tombstone, without content.
    held         INTEGER NOT NULL,
    -- The Patient that it names, and what was sent with its last amendment; null with a tombstone of what
    -- was never sent.
    patient_id   TEXT,
    number       INTEGER,
    category     INTEGER,
    private      INTEGER NOT NULL,
    restricted   INTEGER NOT NULL,
    digest       BLOB,
    last_updated INTEGER,
    recorded_at  INTEGER NOT NULL,
    author       TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    payload      BLOB    NOT NULL
) STRICT;
CREATE INDEX record_patient ON record (patient_id, id) WHERE held = 1;
CREATE INDEX record_marked ON record (private, restricted) WHERE held = 1 AND (private = 1 OR restricted = 1);

-- Versions whose patient is not known yet, one a record, in the order in which the records came.
CREATE TABLE waiting (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    -- The Patient's id, or '#' and an NHS number.
    patient_key  TEXT    NOT NULL,
    reason       INTEGER NOT NULL,
    category     INTEGER NOT NULL,
    private      INTEGER NOT NULL,
    digest       BLOB    NOT NULL,
    last_updated INTEGER,
    recorded_at  INTEGER NOT NULL,
    author       TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    payload      BLOB    NOT NULL
) STRICT;
CREATE INDEX waiting_patient_key ON waiting (patient_key, id);
CREATE INDEX waiting_reason ON waiting (reason);

-- How far an input has come with something that it takes in parts (a file). Written with what it took.
CREATE TABLE mark (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
