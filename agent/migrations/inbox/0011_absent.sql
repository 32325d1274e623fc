-- What was withdrawn and is not back, and whether a grant is for every patient.

-- 1: the grant does not carry every patient's records.
ALTER TABLE granted ADD COLUMN not_everyone INTEGER NOT NULL DEFAULT 0;

-- When something was last withdrawn of which a row of `absent` tells.
ALTER TABLE source ADD COLUMN absent_at INTEGER;

-- One record of each patient whose records were withdrawn, and each that was withdrawn by itself, until it is back. It
-- names neither: only the tag of the record's name is kept.
CREATE TABLE absent (
    source_id INTEGER NOT NULL REFERENCES source (id),
    name      BLOB    NOT NULL CHECK (length(name) = 16),
    PRIMARY KEY (source_id, name)
) STRICT, WITHOUT ROWID;
