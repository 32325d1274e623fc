-- What must be durable at the daemon. Times are milliseconds since 1970-01-01T00:00:00Z. A unit is named by
-- its ODS code everywhere; a holder of certificates by 'unit/<ODS code>' or 'person/<id>'.

CREATE TABLE deployment (
    one                  INTEGER PRIMARY KEY CHECK (one = 1),
    trust_domain         TEXT    NOT NULL,
    test                 INTEGER NOT NULL CHECK (test IN (0, 1)),
    policy               TEXT    NOT NULL CHECK (policy IN ('unless-dissented', 'explicit')),
    operator_sets_halves INTEGER NOT NULL CHECK (operator_sets_halves IN (0, 1)),
    made_at              INTEGER NOT NULL,
    touched_at           INTEGER NOT NULL
) STRICT;

-- Units and people. `kind` and `role` are the numbers of the contract (handfast/v1/unit.proto).

CREATE TABLE unit (
    ods           TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    kind          INTEGER NOT NULL CHECK (kind > 0),
    state         TEXT    NOT NULL CHECK (state IN ('enrolled', 'suspended', 'retired')),
    state_by      TEXT    NOT NULL DEFAULT '',
    state_reason  TEXT    NOT NULL DEFAULT '',
    state_at      INTEGER NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
    id             TEXT    NOT NULL PRIMARY KEY,
    name           TEXT    NOT NULL,
    unit           TEXT    REFERENCES unit (ods),
    role           INTEGER NOT NULL CHECK (role > 0),
    role_at        INTEGER NOT NULL,
    added_at       INTEGER NOT NULL,
    revoked_at     INTEGER,
    revoked_reason TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX person_by_unit ON person (unit, role);

-- `hash` is SHA-256 of the token's secret. A token is good while it is neither used nor void nor expired.
CREATE TABLE token (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    holder     TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    made_by    TEXT    NOT NULL,
    made_at    INTEGER NOT NULL,
    used_at    INTEGER,
    void_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX token_by_holder ON token (holder);

CREATE TABLE certificate (
    serial    BLOB    NOT NULL PRIMARY KEY,
    holder    TEXT    NOT NULL,
    not_after INTEGER NOT NULL,
    issued_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX certificate_by_holder ON certificate (holder);

-- The log. `stream` says where each source's stream stands; every unit has a row.

CREATE TABLE stream (
    source   TEXT    NOT NULL PRIMARY KEY REFERENCES unit (ods),
    head_seq INTEGER NOT NULL CHECK (head_seq >= 0),
    chain    BLOB,
    store    BLOB,
    CHECK ((head_seq = 0) = (chain IS NULL) AND (head_seq = 0) = (store IS NULL))
) STRICT, WITHOUT ROWID;

-- One row a batch; `data` is the header (its first `header_len` bytes) and the body. The source is not
-- declared as a reference: each row is written beside a guarded move of its stream, which is one.
CREATE TABLE log (
    id         INTEGER PRIMARY KEY,
    source     TEXT    NOT NULL,
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    header_len INTEGER NOT NULL,
    data       BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX log_by_seq ON log (source, last_seq);

-- Agreements, grants and their jobs.

CREATE TABLE agreement (
    source     TEXT    NOT NULL REFERENCES unit (ods),
    recipient  TEXT    NOT NULL REFERENCES unit (ods),
    out_on     INTEGER NOT NULL DEFAULT 0 CHECK (out_on IN (0, 1)),
    out_by     TEXT    NOT NULL DEFAULT '',
    out_at     INTEGER NOT NULL DEFAULT 0,
    out_reason TEXT    NOT NULL DEFAULT '',
    in_on      INTEGER NOT NULL DEFAULT 0 CHECK (in_on IN (0, 1)),
    in_by      TEXT    NOT NULL DEFAULT '',
    in_at      INTEGER NOT NULL DEFAULT 0,
    in_reason  TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (source, recipient),
    CHECK (source <> recipient)
) STRICT, WITHOUT ROWID;

CREATE INDEX agreement_by_recipient ON agreement (recipient);

-- AUTOINCREMENT: a grant's number, and a job's, is never used twice. `cursor`: everything up to this seq
-- was receipted or withheld; it never goes back.
CREATE TABLE sharing_grant (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    source     TEXT    NOT NULL,
    recipient  TEXT    NOT NULL,
    cursor     INTEGER NOT NULL CHECK (cursor >= 0),
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    FOREIGN KEY (source, recipient) REFERENCES agreement (source, recipient)
) STRICT;

-- At most one grant of a pair is in force.
CREATE UNIQUE INDEX grant_in_force ON sharing_grant (source, recipient) WHERE ended_at IS NULL;
CREATE INDEX grant_in_force_by_recipient ON sharing_grant (recipient, source) WHERE ended_at IS NULL;
CREATE INDEX grant_by_pair ON sharing_grant (source, recipient);

-- A catch-up's row goes when it is complete or its grant ends; a withdrawal's stays, for people.
CREATE TABLE job (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    grant_id     INTEGER NOT NULL REFERENCES sharing_grant (id),
    source       TEXT    NOT NULL,
    recipient    TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('catch-up', 'withdraw')),
    state        TEXT    NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'received', 'confirmed')),
    upto         INTEGER NOT NULL DEFAULT 0,
    through      INTEGER NOT NULL DEFAULT 0,
    removed      INTEGER NOT NULL DEFAULT 0,
    not_removed  INTEGER NOT NULL DEFAULT 0,
    since        INTEGER NOT NULL,
    confirmed_at INTEGER,
    CHECK (kind = 'withdraw' OR state = 'due')
) STRICT;

CREATE INDEX job_by_grant ON job (grant_id);
CREATE INDEX job_due ON job (recipient, id) WHERE state <> 'confirmed';
CREATE INDEX withdrawal_by_pair ON job (source, recipient, id) WHERE kind = 'withdraw';

-- A recipient's inbox: which one is its own since which session, its newest session, and the last message
-- (session, number) that it has said is durable. That never goes back while the inbox is the same.
CREATE TABLE inbox (
    recipient         TEXT    NOT NULL PRIMARY KEY REFERENCES unit (ods),
    store             BLOB    NOT NULL,
    since_session     INTEGER NOT NULL,
    session           INTEGER NOT NULL,
    receipted_session INTEGER NOT NULL DEFAULT 0,
    receipted         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What a recipient could not write and has not resolved. No clinical content.
CREATE TABLE dead_letter (
    source    TEXT    NOT NULL REFERENCES unit (ods),
    recipient TEXT    NOT NULL REFERENCES unit (ods),
    seq       INTEGER NOT NULL,
    record    TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (source, recipient, seq)
) STRICT, WITHOUT ROWID;
