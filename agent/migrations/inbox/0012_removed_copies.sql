-- What was removed, by keyed digests of name and content, so that a file of it which comes back late is known for what
-- it is.
CREATE TABLE removed_copy (
    tag BLOB    PRIMARY KEY CHECK (length(tag) = 16),
    -- When it was removed, milliseconds since 1970-01-01T00:00:00Z.
    at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX removed_copy_at ON removed_copy (at);
