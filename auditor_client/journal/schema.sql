-- The auditor's journal. Signed documents are kept as the exact bytes that were sent or received.

CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE items (
    place   INTEGER PRIMARY KEY,
    task    INTEGER NOT NULL,
    arm     TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    step    INTEGER NOT NULL DEFAULT 0,
    state   TEXT    NOT NULL CHECK (state IN ('WAITING', 'DONE', 'FAILED')),
    UNIQUE (task, arm, epoch)
) STRICT;
-- Exchanges of no task have the task -1, their purpose for an arm and their number for an epoch.
CREATE VIEW scheduled AS SELECT * FROM items WHERE task >= 0;

CREATE TABLE sessions (
    place    INTEGER PRIMARY KEY,
    session  TEXT    NOT NULL UNIQUE,
    opening  BLOB    NOT NULL,
    prev     TEXT,
    next_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE exchanges (
    session      TEXT    NOT NULL,
    seq          INTEGER NOT NULL,
    task         INTEGER NOT NULL,
    arm          TEXT    NOT NULL,
    epoch        INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    step         INTEGER NOT NULL DEFAULT 0,
    intended_at  TEXT    NOT NULL,
    intent       BLOB    NOT NULL,
    request      BLOB    NOT NULL,
    request_salt BLOB    NOT NULL,
    sealed       BLOB,              -- cleared once the exchange has ended
    seed_share   BLOB    NOT NULL,
    response_key BLOB    NOT NULL,
    promise      BLOB,
    document     BLOB,              -- the Record or the refusal; NULL while the exchange is open
    status       TEXT,
    code         TEXT,
    result       BLOB,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
-- Nothing is asked twice: only a refused Intent, which was never promised, may be tried again under its step.
CREATE UNIQUE INDEX one_promise_a_step ON exchanges (task, arm, epoch, attempt, step)
    WHERE status IS NULL OR status != 'REFUSED';
CREATE UNIQUE INDEX one_open_exchange ON exchanges (session) WHERE document IS NULL;

PRAGMA user_version = 2;
