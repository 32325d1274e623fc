-- Emergency accesses, alerts to privacy officers, their reviews, and the hand-off of alerts to other systems.
-- Times are milliseconds since 1970-01-01T00:00:00Z.

-- `alert_type` and `alert_reason` are the numbers of the contract (handfast/v1/emergency.proto).
CREATE TABLE emergency_access (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient    TEXT    NOT NULL REFERENCES unit (ods),
    person       TEXT    NOT NULL REFERENCES person (id),
    patient      INTEGER NOT NULL,
    alert_type   INTEGER NOT NULL,
    alert_reason INTEGER NOT NULL,
    note         TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    until        INTEGER NOT NULL,
    CHECK (until > at)
) STRICT;

CREATE INDEX emergency_access_by_recipient ON emergency_access (recipient, id);
CREATE INDEX emergency_access_by_person ON emergency_access (person, id);

-- `kind` is a number of the contract. `person` may not review it. `by` names who did it, as the audit does.
CREATE TABLE alert (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         INTEGER NOT NULL CHECK (kind > 0),
    unit         TEXT    NOT NULL REFERENCES unit (ods),
    source       TEXT    REFERENCES unit (ods),
    patient      INTEGER,
    person       TEXT,
    by           TEXT    NOT NULL,
    note         TEXT    NOT NULL,
    raised_at    INTEGER NOT NULL,
    escalated_at INTEGER,
    reviewed_at  INTEGER
) STRICT;

CREATE INDEX alert_by_unit ON alert (unit, id);
CREATE INDEX alert_by_source ON alert (source, id) WHERE source IS NOT NULL;
CREATE INDEX alert_open ON alert (raised_at, id) WHERE reviewed_at IS NULL AND escalated_at IS NULL;
CREATE INDEX alert_escalated ON alert (id) WHERE escalated_at IS NOT NULL;

-- `grant_id` is null until its grant was opened; several accesses may share one. `ended_*`: where somebody ended it. `until`: of the grant, where
-- that ends earlier than the access.
CREATE TABLE emergency_source (
    access     INTEGER NOT NULL REFERENCES emergency_access (id),
    source     TEXT    NOT NULL REFERENCES unit (ods),
    alert      INTEGER NOT NULL REFERENCES alert (id),
    grant_id   INTEGER REFERENCES sharing_grant (id),
    until      INTEGER NOT NULL,
    ended_at   INTEGER,
    ended_by   TEXT,
    ended_unit TEXT,
    PRIMARY KEY (access, source),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL) AND (ended_at IS NULL) = (ended_unit IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX emergency_source_by_source ON emergency_source (source, access);
CREATE INDEX emergency_source_by_grant ON emergency_source (grant_id);
CREATE UNIQUE INDEX emergency_source_by_alert ON emergency_source (alert);

-- The first review closes an alert; further ones are added. One a person.
CREATE TABLE alert_review (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    alert     INTEGER NOT NULL REFERENCES alert (id),
    person    TEXT    NOT NULL REFERENCES person (id),
    unit      TEXT    NOT NULL REFERENCES unit (ods),
    justified INTEGER NOT NULL CHECK (justified IN (0, 1)),
    note      TEXT    NOT NULL,
    at        INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX alert_review_once ON alert_review (alert, person);

-- Which targets are configured, and which alerts each is still owed: `due_at` is null where it knows how the
-- alert stands.
CREATE TABLE hand_off_target (
    target TEXT NOT NULL PRIMARY KEY CHECK (target IN ('webhook', 'mail'))
) STRICT, WITHOUT ROWID;

CREATE TABLE hand_off (
    target     TEXT    NOT NULL REFERENCES hand_off_target (target) ON DELETE CASCADE,
    alert      INTEGER NOT NULL REFERENCES alert (id),
    due_at     INTEGER,
    tries      INTEGER NOT NULL DEFAULT 0,
    last_error TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (target, alert)
) STRICT, WITHOUT ROWID;

CREATE INDEX hand_off_due ON hand_off (target, due_at, alert) WHERE due_at IS NOT NULL;
