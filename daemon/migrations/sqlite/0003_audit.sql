-- The audit log. `idx` counts entries from 1, without a gap; an entry's index in the tree is one less. `kind` and
-- `at` stand in the leaf too. `personal` is empty, and `patient` null, once they were erased.
CREATE TABLE audit_entry (
    idx      INTEGER PRIMARY KEY,
    kind     INTEGER NOT NULL CHECK (kind > 0),
    at       INTEGER NOT NULL,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32),
    leaf     BLOB    NOT NULL,
    personal BLOB    NOT NULL,
    patient  INTEGER
) STRICT;

CREATE INDEX audit_by_patient ON audit_entry (patient, idx) WHERE patient IS NOT NULL;

-- When the daemon was started and stopped (AUDIT_KIND_DAEMON).
CREATE INDEX audit_of_daemon ON audit_entry (idx) WHERE kind = 33;

-- Signed heads of the tree.
CREATE TABLE audit_head (
    size      INTEGER PRIMARY KEY CHECK (size > 0),
    root      BLOB    NOT NULL CHECK (length(root) = 32),
    signed_at INTEGER NOT NULL,
    signature BLOB    NOT NULL CHECK (length(signature) = 64),
    key       BLOB    NOT NULL CHECK (length(key) = 32)
) STRICT;

-- Hashes of the perfect subtrees of 256 leaves and more under the newest head.
CREATE TABLE audit_node (
    level INTEGER NOT NULL CHECK (level >= 8),
    idx   INTEGER NOT NULL,
    hash  BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

-- Only added to: no mistake of a program takes an entry away or changes one.
CREATE TRIGGER audit_entry_stays BEFORE DELETE ON audit_entry
BEGIN
    SELECT RAISE(ABORT, 'an entry of the audit log is never removed');
END;
CREATE TRIGGER audit_entry_is_not_changed BEFORE UPDATE OF idx, kind, at, hash, leaf ON audit_entry
BEGIN
    SELECT RAISE(ABORT, 'an entry of the audit log is never changed');
END;
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
BEGIN
    SELECT RAISE(ABORT, 'a signed head of the audit log is never removed');
END;
