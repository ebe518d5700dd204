"""The gateway's tables. Times are milliseconds since the epoch; every table that belongs to a merchant says so."""

from __future__ import annotations

from gateway.store import audit, connections, frames, keys, messages, webhooks

JOURNAL = """
CREATE TABLE sagas (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, merchant TEXT NOT NULL, store_id TEXT NOT NULL,
  number TEXT NOT NULL, parent TEXT NOT NULL, state TEXT NOT NULL,
  doc TEXT NOT NULL, progress TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount >= 0),
  refunded_amount INTEGER NOT NULL DEFAULT 0 CHECK (refunded_amount >= 0 AND refunded_amount <= amount),
  created INTEGER NOT NULL, updated INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  fence INTEGER NOT NULL, lease_until INTEGER NOT NULL, due_at INTEGER, version INTEGER NOT NULL,
  UNIQUE (merchant, kind, number)
) STRICT;
CREATE INDEX sagas_due ON sagas (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX sagas_listed ON sagas (merchant, kind, id);
CREATE INDEX sagas_parent ON sagas (parent) WHERE parent <> '';

CREATE TABLE ops (
  key TEXT PRIMARY KEY, saga_id TEXT NOT NULL REFERENCES sagas (id), leg TEXT NOT NULL, hook TEXT NOT NULL,
  turn INTEGER NOT NULL, connection TEXT NOT NULL, state TEXT NOT NULL,
  attempts INTEGER NOT NULL, queries INTEGER NOT NULL,
  first_sent INTEGER NOT NULL, last_sent INTEGER NOT NULL, next_at INTEGER NOT NULL, finished INTEGER NOT NULL,
  steps TEXT NOT NULL, outcome TEXT NOT NULL, fence INTEGER NOT NULL,
  UNIQUE (saga_id, leg, hook, turn)
) STRICT;

CREATE TABLE idempotency (
  merchant TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, subject TEXT NOT NULL,
  status INTEGER, body TEXT, location TEXT NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY (merchant, key)
) STRICT;

CREATE TABLE events (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, merchant TEXT NOT NULL, subject TEXT NOT NULL,
  seq INTEGER NOT NULL, type TEXT NOT NULL, occurred INTEGER NOT NULL, data TEXT NOT NULL,
  UNIQUE (subject, seq)
) STRICT;

CREATE TABLE tasks (
  id TEXT PRIMARY KEY, merchant TEXT NOT NULL, subject TEXT NOT NULL, leg TEXT NOT NULL, kind TEXT NOT NULL,
  status TEXT NOT NULL, owner TEXT NOT NULL, detail TEXT NOT NULL, opened INTEGER NOT NULL, deadline INTEGER NOT NULL,
  resolved INTEGER, resolution TEXT,
  UNIQUE (subject, leg, kind)
) STRICT;
CREATE INDEX tasks_open ON tasks (merchant, id) WHERE status = 'open';

CREATE TABLE quotes (
  id TEXT PRIMARY KEY, merchant TEXT NOT NULL, expires INTEGER NOT NULL, doc TEXT NOT NULL
) STRICT;

CREATE TABLE holds (
  merchant TEXT NOT NULL, saga_id TEXT NOT NULL, kind TEXT NOT NULL, store_id TEXT NOT NULL, item TEXT NOT NULL,
  quantity INTEGER NOT NULL CHECK (quantity > 0), starts INTEGER NOT NULL, ends INTEGER NOT NULL,
  state TEXT NOT NULL, expires INTEGER NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY (merchant, saga_id, kind, store_id, item, starts)
) STRICT;
CREATE INDEX holds_item ON holds (merchant, kind, store_id, item, state);

CREATE TABLE products (
  merchant TEXT NOT NULL, sku TEXT NOT NULL, name TEXT NOT NULL, doc TEXT NOT NULL, as_of INTEGER NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (merchant, sku)
) STRICT;
CREATE TABLE product_codes (
  merchant TEXT NOT NULL, code TEXT NOT NULL, sku TEXT NOT NULL,
  PRIMARY KEY (merchant, code, sku)
) STRICT;

CREATE TABLE api_keys (
  id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, name TEXT NOT NULL, merchants TEXT NOT NULL, stores TEXT NOT NULL,
  scopes TEXT NOT NULL, created INTEGER NOT NULL, revoked INTEGER
) STRICT;

CREATE TABLE settlement_entries (
  id TEXT PRIMARY KEY, merchant TEXT NOT NULL, business_date TEXT NOT NULL, subject TEXT NOT NULL,
  party TEXT NOT NULL, kind TEXT NOT NULL, basis_amount INTEGER NOT NULL, amount INTEGER NOT NULL,
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX settlement_day ON settlement_entries (merchant, business_date, party);

CREATE TABLE reconciliations (
  id TEXT PRIMARY KEY, merchant TEXT NOT NULL, business_date TEXT NOT NULL, connection TEXT NOT NULL,
  family TEXT NOT NULL, counts TEXT NOT NULL, differences TEXT NOT NULL, closed INTEGER NOT NULL
) STRICT;
"""

CAMPAIGNS = """
CREATE TABLE campaigns (
  merchant TEXT NOT NULL, id TEXT NOT NULL, version TEXT NOT NULL, doc TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('draft', 'active', 'paused', 'ended')), imported_at INTEGER NOT NULL,
  PRIMARY KEY (merchant, id, version)
) STRICT;
CREATE TABLE campaign_changes (merchant TEXT PRIMARY KEY, changes INTEGER NOT NULL) STRICT;
CREATE TABLE campaign_pins (
  merchant TEXT NOT NULL, id TEXT NOT NULL, version TEXT NOT NULL, doc TEXT NOT NULL, seen_at INTEGER NOT NULL,
  PRIMARY KEY (merchant, id, version)
) STRICT;

CREATE TABLE campaign_uses (
  merchant TEXT NOT NULL, campaign TEXT NOT NULL, saga_id TEXT NOT NULL, version TEXT NOT NULL,
  member TEXT NOT NULL, business_date TEXT NOT NULL,
  times INTEGER NOT NULL CHECK (times >= 0), amount INTEGER NOT NULL CHECK (amount >= 0),
  state TEXT NOT NULL CHECK (state IN ('held', 'used', 'released')), updated INTEGER NOT NULL,
  PRIMARY KEY (merchant, campaign, saga_id)
) STRICT;
CREATE INDEX campaign_uses_saga ON campaign_uses (saga_id);
CREATE TABLE campaign_counters (
  merchant TEXT NOT NULL, campaign TEXT NOT NULL, scope TEXT NOT NULL CHECK (scope IN ('total', 'member', 'day')),
  member TEXT NOT NULL, business_date TEXT NOT NULL,
  times INTEGER NOT NULL CHECK (times >= 0), amount INTEGER NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (merchant, campaign, scope, member, business_date)
) STRICT;
"""

#: Replies that are still owed are found by what they are about; there are few of them at any time.
OPEN_KEYS = "CREATE INDEX idempotency_open ON idempotency (subject) WHERE status IS NULL;"

#: What persons have said of a task, oldest first, and the money at stake (minor units; NULL where there is none).
TASK_WORDS = """
ALTER TABLE tasks ADD COLUMN words TEXT NOT NULL DEFAULT '[]';
ALTER TABLE tasks ADD COLUMN amount INTEGER;
"""

#: All migrations of the core, in order; a name is never used again and a published text never changed.
MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("0001-journal", JOURNAL),
    ("0002-campaigns", CAMPAIGNS),
    ("0003-open-keys", OPEN_KEYS),
    ("0004-task-words", TASK_WORDS),
    ("0005-webhooks", webhooks.SCHEMA),
    ("0006-attempts", frames.SCHEMA),
    ("0007-chain", audit.SCHEMA),
    ("0008-signed-keys", keys.SIGNED),
    ("0009-connection-states", connections.SCHEMA),
    ("0010-messages", messages.SCHEMA),
)
