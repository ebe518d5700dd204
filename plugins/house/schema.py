"""The house's tables. Every change is one row of a ledger under the engine's key, so that a repeat changes nothing."""

from __future__ import annotations

TABLES = """
CREATE TABLE house_members (
  merchant TEXT NOT NULL, ref TEXT NOT NULL, display_name TEXT NOT NULL, tier TEXT NOT NULL,
  points INTEGER NOT NULL DEFAULT 0 CHECK (points >= 0),
  points_held INTEGER NOT NULL DEFAULT 0 CHECK (points_held >= 0),
  real INTEGER NOT NULL DEFAULT 0 CHECK (real >= 0), gift INTEGER NOT NULL DEFAULT 0 CHECK (gift >= 0),
  prepaid INTEGER NOT NULL DEFAULT 0 CHECK (prepaid >= 0),
  merged_into TEXT NOT NULL DEFAULT '', orders INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (merchant, ref)
) STRICT;
CREATE TABLE house_identities (
  merchant TEXT NOT NULL, type TEXT NOT NULL, digest TEXT NOT NULL, ref TEXT NOT NULL,
  PRIMARY KEY (merchant, type, digest)
) STRICT;
CREATE TABLE house_coupons (
  merchant TEXT NOT NULL, code TEXT NOT NULL, kind TEXT NOT NULL, template TEXT NOT NULL, title TEXT NOT NULL,
  member_ref TEXT NOT NULL, terms TEXT NOT NULL, expires INTEGER, voided INTEGER NOT NULL DEFAULT 0,
  initial INTEGER NOT NULL, available INTEGER NOT NULL CHECK (available >= 0),
  held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0), used INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),
  balance INTEGER NOT NULL DEFAULT 0 CHECK (balance >= 0),
  PRIMARY KEY (merchant, code),
  CHECK (initial = available + held + used)
) STRICT;
CREATE INDEX house_coupons_member ON house_coupons (merchant, member_ref);
CREATE TABLE house_stock (
  merchant TEXT NOT NULL, store_id TEXT NOT NULL, sku TEXT NOT NULL,
  on_hand INTEGER NOT NULL CHECK (on_hand >= 0), reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
  updated INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (merchant, store_id, sku), CHECK (reserved <= on_hand)
) STRICT;
CREATE TABLE house_products (
  merchant TEXT NOT NULL, sku TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (merchant, sku)
) STRICT;
CREATE TABLE house_ledger (
  key TEXT NOT NULL, merchant TEXT NOT NULL, hook TEXT NOT NULL, account TEXT NOT NULL, amount INTEGER NOT NULL,
  detail TEXT NOT NULL, original TEXT NOT NULL, business_date TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (merchant, key, hook, account)
) STRICT;
CREATE INDEX house_ledger_day ON house_ledger (merchant, business_date, hook);
"""

#: A day's rows in the order they were written: by hook they lay in as many places as there are hooks.
DAYS = """
DROP INDEX house_ledger_day;
CREATE INDEX house_ledger_days ON house_ledger (merchant, business_date);
"""

#: What was taken back of a change is asked for at every refund.
TAKEN_BACK = "CREATE INDEX house_ledger_original ON house_ledger (merchant, original, hook) WHERE original <> '';"

MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("house-0001", TABLES),
    ("house-0002", DAYS),
    ("house-0003", TAKEN_BACK),
)
