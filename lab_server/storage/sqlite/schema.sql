-- The lab's memory. Everything an engagement is follows from its agreement and its leaves; the rest is what
-- cannot be derived: negotiations, sealed frames for redelivery, cosigned checkpoints, evidence of equivocation.

CREATE TABLE IF NOT EXISTS negotiation (
  name     TEXT NOT NULL,
  position INTEGER NOT NULL,
  entry    BLOB NOT NULL,
  PRIMARY KEY (name, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS terms (
  auditor  TEXT PRIMARY KEY,
  envelope BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS wish (
  name   TEXT PRIMARY KEY,
  wish   BLOB NOT NULL,
  answer TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS agreement (
  digest   TEXT PRIMARY KEY,
  envelope BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS leaf (
  agreement TEXT NOT NULL,
  position  INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  session   TEXT,
  seq       INTEGER,
  data      BLOB NOT NULL,
  PRIMARY KEY (agreement, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS leaf_of_exchange ON leaf (agreement, session, seq) WHERE session IS NOT NULL;
CREATE INDEX IF NOT EXISTS leaf_of_step ON leaf (agreement, position) WHERE session IS NULL;

CREATE TABLE IF NOT EXISTS frame (
  agreement  TEXT NOT NULL,
  session    TEXT NOT NULL,
  seq        INTEGER NOT NULL,
  number     INTEGER NOT NULL,
  ciphertext BLOB NOT NULL,
  final      INTEGER NOT NULL,
  until      TEXT NOT NULL,
  PRIMARY KEY (agreement, session, seq, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS cosigned (
  agreement TEXT NOT NULL,
  size      INTEGER NOT NULL,
  note      TEXT NOT NULL,
  PRIMARY KEY (agreement, size)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS equivocation (
  agreement TEXT NOT NULL,
  session   TEXT NOT NULL,
  seq       INTEGER NOT NULL,
  first     BLOB NOT NULL,
  second    BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS draw (
  agreement TEXT PRIMARY KEY,
  share     BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS closing (
  agreement TEXT PRIMARY KEY,
  statement BLOB NOT NULL
) STRICT;
