-- From version 1, in which an item took one exchange.
BEGIN;
ALTER TABLE items ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
DROP INDEX one_promise_an_attempt;
CREATE UNIQUE INDEX one_promise_a_step ON exchanges (task, arm, epoch, attempt, step)
    WHERE status IS NULL OR status != 'REFUSED';
CREATE VIEW IF NOT EXISTS scheduled AS SELECT * FROM items WHERE task >= 0;
PRAGMA user_version = 2;
COMMIT;
