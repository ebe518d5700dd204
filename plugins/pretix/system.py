"""A real pretix for the conformance suite: started once a run; each test has an organizer of its own in it.

Nothing here is a part of the adapter. The books are read from pretix's own database, past its API, which ignores
filters that it does not know and counts holds in its own way.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.testing import ForeignSystem, Place, Unavailable
from plugins.pretix.cinema import FILM, SOLD_OUT, Api, Cinema, open_cinema
from plugins.pretix.ground import GroundError, Pretix

if TYPE_CHECKING:
    import psycopg

#: Another organizer with a team and a key of its own, which pretix's API cannot make.
_ORGANIZER = "INSERT INTO pretixbase_organizer (name, slug, plugins) VALUES (%s, %s, '') RETURNING id"
_SETTING = """
INSERT INTO pretixbase_organizer_settingsstore (object_id, key, value) VALUES (%s, 'customer_accounts', 'True')
"""
_CHANNEL = """
INSERT INTO pretixbase_saleschannel (organizer_id, label, identifier, type, position, configuration)
VALUES (%s, 'Online shop', 'web', 'web', 0, '{}')
"""
_TEAM = """
INSERT INTO pretixbase_team (organizer_id, name, require_2fa, all_events, all_event_permissions,
  limit_event_permissions, all_organizer_permissions, limit_organizer_permissions)
VALUES (%s, 'gateway', false, true, true, '{}', true, '{}') RETURNING id
"""
_KEY = "INSERT INTO pretixbase_teamapitoken (team_id, name, active, token) VALUES (%s, 'gateway', true, %s)"

#: Everything that a change of ours can move, in pieces and fen.
_BOOKS = """
SELECT
 (SELECT count(*) FROM pretixbase_cartposition WHERE event_id = e.id AND expires > now() AND item_id = %(ticket)s),
 (SELECT count(*) FROM pretixbase_cartposition WHERE event_id = e.id AND expires > now() AND voucher_id IS NOT NULL),
 (SELECT coalesce(sum(redeemed), 0) FROM pretixbase_voucher WHERE event_id = e.id),
 (SELECT count(*) FROM pretixbase_orderposition p JOIN pretixbase_order o ON o.id = p.order_id
   WHERE o.event_id = e.id AND o.status = 'p' AND NOT p.canceled AND p.item_id = %(ticket)s),
 (SELECT coalesce(sum(p.amount), 0) * 100 FROM pretixbase_orderpayment p JOIN pretixbase_order o ON o.id = p.order_id
   WHERE o.event_id = e.id AND p.state = 'confirmed'),
 (SELECT coalesce(sum(r.amount), 0) * 100 FROM pretixbase_orderrefund r JOIN pretixbase_order o ON o.id = r.order_id
   WHERE o.event_id = e.id AND r.state = 'done'),
 (SELECT coalesce(sum(t.value), 0) * 100 FROM pretixbase_giftcardtransaction t
   JOIN pretixbase_giftcard c ON c.id = t.card_id WHERE c.issuer_id = e.organizer_id),
 (SELECT count(*) FROM pretixbase_customer WHERE organizer_id = e.organizer_id)
FROM pretixbase_event e WHERE e.slug = %(event)s
"""
_LET_GO = """
DELETE FROM pretixbase_cartposition WHERE event_id IN (SELECT id FROM pretixbase_event WHERE slug = %s)
"""
#: One whose listener is gone is called four times with every sale, before pretix answers.
_UNHOOK = """
UPDATE pretixapi_webhook SET enabled = false
WHERE organizer_id = (SELECT organizer_id FROM pretixbase_event WHERE slug = %s)
"""
_NAMES = ("places held", "uses held", "uses", "sold", "paid", "given back", "on cards", "members")


class RunningPretix(ForeignSystem):
    """pretix with a PostgreSQL of its own; installed and migrated at the first run (minutes)."""

    side_by_side: ClassVar[int] = 4

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        home = folder / "pretix"
        home.mkdir(parents=True, exist_ok=True)
        self._pretix = Pretix(home, workers=4)

    def start(self) -> None:
        try:
            self._pretix.__enter__()
        except GroundError as trouble:
            raise Unavailable(str(trouble)) from None

    def stop(self) -> None:
        self._pretix.__exit__(None, None, None)

    def place(self) -> Place:
        """An organizer with a cinema: a showing with many places and one without, a voucher, a gift card, a member."""
        slug, token = f"o{secrets.token_hex(4)}", secrets.token_hex(32)
        with self._database() as database:
            organizer = _first(database, _ORGANIZER, slug, slug)
            for sql in (_SETTING, _CHANNEL):
                database.execute(sql, [organizer])
            database.execute(_KEY, [_first(database, _TEAM, organizer), token])
        cinema = open_cinema(Api(self._pretix.url, token, slug), {FILM: 100_000, SOLD_OUT: 0})
        cinema.member()
        facts = {"cinema": cinema, "voucher": cinema.voucher(uses=100_000), "card": cinema.gift_card("90000.00")}
        return Place({"api": self._pretix.url}, facts)

    def books(self, place: Place) -> Mapping[str, Any]:
        cinema: Cinema = place.facts["cinema"]
        with self._database() as database:
            row = database.execute(_BOOKS, {"event": cinema.event, "ticket": cinema.ticket}).fetchone()
        assert row is not None
        return {name: int(value) for name, value in zip(_NAMES, row, strict=True)}

    def give_back(self, place: Place) -> None:
        """What carts still hold is let go, as pretix does with what has expired, and nobody is called any more."""
        cinema: Cinema = place.facts["cinema"]
        with self._database() as database:
            for sql in (_LET_GO, _UNHOOK):
                database.execute(sql, [cinema.event])
        super().give_back(place)

    def _database(self) -> psycopg.Connection[Any]:
        import psycopg

        return psycopg.connect(self._pretix.database, autocommit=True, connect_timeout=5)


def _first(database: psycopg.Connection[Any], sql: str, *values: object) -> int:
    row = database.execute(sql, values).fetchone()  # type: ignore[call-overload, unused-ignore]
    assert row is not None
    return int(row[0])
