"""Whoever changes, deletes or takes back what was sealed is found out, and the finding names the row."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.engine.audit import Anchor, Auditor, anchor_from
from gateway.engine.sealing import Seal, Witness
from gateway.store import audit
from gateway.store.port import Tx, open_database
from tests.audit.conftest import KEY, Day, simple


def told(findings: Sequence[object]) -> list[str]:
    return [str(finding) for finding in findings]


def test_a_day_that_nobody_touched_verifies(day: Day, witness: Witness) -> None:
    """Else every shop would be told that its books are forged; refunds and later looks must not disturb it."""
    first, *_ = day.sell(2)
    reply = day.house.refunds.create(day.house.asked(), first, {"refund_no": "R1"})
    assert reply.status in (201, 202), reply.body
    day.house.settle(3)
    day.house.engine.sealer.seal()
    seq, head = witness.read()["m1"]
    assert seq >= 4
    assert told(day.verify(day.head(), Anchor("m1", seq, head))) == []


def test_a_changed_event_is_named(day: Day) -> None:
    """A platform that was told "completed" must be able to show it, whatever the database says afterwards."""
    checkout = day.sell(2)[0]
    event = day.row("SELECT id FROM events WHERE subject = :id AND type = 'checkout.completed'", id=checkout)["id"]
    day.by_hand("UPDATE events SET type = 'checkout.failed' WHERE id = :id", id=event)
    assert told(day.verify()) == [f"m1: events {event}: was changed after it was sealed"]


def test_a_deleted_event_is_named(day: Day) -> None:
    checkout = day.sell(2)[0]
    event = day.row("SELECT id FROM events WHERE subject = :id AND seq = 0", id=checkout)["id"]
    day.by_hand("DELETE FROM events WHERE id = :id", id=event)
    assert told(day.verify()) == [f"m1: events {event}: was deleted"]


def test_a_changed_operation_of_an_ended_checkout_is_named(day: Day) -> None:
    """The amount that the wallet confirmed is lowered in the journal, so that money seems to be missing there."""
    checkout = day.sell(2)[0]
    op = day.row("SELECT * FROM ops WHERE saga_id = :id AND hook = 'payment_charge'", id=checkout)
    outcome = json.loads(op["outcome"]) | {"amount": 1}
    day.by_hand("UPDATE ops SET outcome = :outcome WHERE key = :key", outcome=json.dumps(outcome), key=op["key"])
    found = f"m1: ops {op['key']} ({op['leg']}/payment_charge): was changed; it belongs to {checkout}"
    assert told(day.verify()) == [found]


def test_a_changed_attempt_of_an_ended_checkout_is_named(day: Day) -> None:
    """What the wallet answered is what a quarrel is decided by."""
    changes = ("frames = '[]'", "said = '{}'", "took_us = took_us + 1", "outcome = 'declined'", "began = began - 1")
    sold = day.sell(1 + len(changes))[1:]
    assert told(day.verify()) == []
    for checkout, change in zip(sold, changes, strict=True):
        day.by_hand(f"UPDATE attempts SET {change} WHERE saga_id = :id", id=checkout)
    assert told(day.verify()) == [f"m1: attempts of {checkout}: one was changed" for checkout in sold]


def test_a_deleted_attempt_is_named_and_an_old_one_is_not_missed(day: Day) -> None:
    first, sold, last = day.sell(3)
    day.by_hand("DELETE FROM attempts WHERE saga_id = :id", id=sold)
    assert told(day.verify()) == [f"m1: attempts of {sold}: one was deleted: 0 of 1 are there"]
    day.by_hand("DELETE FROM attempts WHERE saga_id = :id", id=first)  # as it goes when the days are over: oldest first
    assert told(day.verify()) == []
    assert last not in (first, sold)


def test_a_deleted_operation_is_named(day: Day) -> None:
    checkout = day.sell(1)[0]
    op = day.row("SELECT * FROM ops WHERE saga_id = :id AND hook = 'payment_charge'", id=checkout)
    day.by_hand("DELETE FROM ops WHERE key = :key", key=op["key"])
    assert told(day.verify()) == [f"m1: ops …{op['key'][-8:]}: was deleted; it belonged to {checkout}"]


def test_what_was_accepted_cannot_be_changed_unseen(day: Day) -> None:
    """The price that a customer agreed to stands in the saga's document."""
    checkout = day.sell(1)[0]
    day.by_hand("UPDATE sagas SET amount = amount + 1 WHERE id = :id", id=checkout)
    assert told(day.verify()) == [f"m1: sagas {checkout}: what was accepted (doc, amount, number) was changed"]


def test_an_end_that_was_turned_round_is_named(day: Day) -> None:
    checkout = day.sell(1)[0]
    day.by_hand("UPDATE sagas SET state = 'failed' WHERE id = :id", id=checkout)
    assert told(day.verify()) == [f"m1: sagas {checkout}: its state or progress was changed at its end"]


def test_an_event_that_was_put_in_is_named(day: Day) -> None:
    checkout = day.sell(1)[0]
    day.by_hand(
        "INSERT INTO events (id, merchant, subject, seq, type, occurred, data)"
        " VALUES ('evt_forged', 'm1', :id, 9, 'checkout.completed', 1, '{}')",
        id=checkout,
    )
    assert told(day.verify()) == ["m1: events evt_forged: is not in the chain: it was put in afterwards"]


def test_an_entry_deleted_in_the_middle_is_named(day: Day) -> None:
    day.sell(3)
    day.by_hand("DELETE FROM chain WHERE merchant = 'm1' AND seq = 3")
    assert told(day.verify())[0] == "m1: chain entry 3: is missing: the next one there is 4"


def test_a_changed_entry_is_named(day: Day) -> None:
    day.sell(3)
    day.by_hand("UPDATE chain SET digest = 'x' WHERE merchant = 'm1' AND seq = 2")
    assert told(day.verify())[0].startswith("m1: chain entry 2: event evt_")


def test_a_tail_that_was_cut_is_missed_by_whoever_has_seen_it(day: Day, witness: Witness) -> None:
    """Rows and entries of the last checkout go, and what is left hangs together; those who saw the head know better."""
    day.sell(1)
    kept = day.head().seq
    last = day.sell(1)[0]
    seen, anchor = witness.read()["m1"], day.head()
    day.by_hand("DELETE FROM chain WHERE seq > :kept", kept=kept)
    for table, column in (("ops", "saga_id"), ("events", "subject"), ("sagas", "id")):
        day.by_hand(f"DELETE FROM {table} WHERE {column} = :id", id=last)
    assert told(day.verify()) == []
    text = f"the chain ends at {kept}: its tail was cut off, or an older copy was restored"
    assert told(day.verify(anchor)) == [f"m1: chain entry {anchor.seq} (anchor): {text}"]
    assert told(day.verify(Anchor("m1", *seen, source="heads")))[0].endswith(text)


def test_a_chain_written_anew_lacks_the_keys_checkpoints(day: Day) -> None:
    """Somebody changes an event and works out all hashes from there on: right in itself, but without the key."""
    day.sell(3)
    anchor = day.head()
    event = day.row("SELECT item FROM chain WHERE seq = 3")["item"]
    day.by_hand("UPDATE events SET data = '{}' WHERE id = :id", id=event)

    def anew(tx: Tx) -> None:
        previous = audit.GENESIS
        for row in tx.all("SELECT * FROM chain WHERE merchant = 'm1' ORDER BY seq"):
            entry = dict(row)
            if entry["item"] == event:
                found = tx.one("SELECT * FROM events WHERE id = :id", {"id": event})
                assert found is not None
                entry["digest"] = audit.event_digest(found)
            previous = audit.bound(previous, entry)
            tx.execute(
                "UPDATE chain SET digest = :digest, hash = :hash WHERE position = :position",
                {"digest": entry["digest"], "hash": previous, "position": entry["position"]},
            )

    day.house.database.tx(anew)
    assert told(day.verify(key=False)) == []
    found = "was written anew after entry 2: this key did not make the checkpoint here"
    assert told(day.verify()) == [f"m1: chain entry 4: {found}"]
    again = f"m1: chain entry {anchor.seq} (anchor): the chain has another entry there"
    assert told(day.verify(anchor, key=False))[0].startswith(again)
    day.by_hand("UPDATE chain SET checkpoint = '' WHERE seq >= 3")
    assert "was written anew or cut after entry 2" in told(day.verify())[0]


def test_another_key_is_told_apart_from_a_forgery(day: Day) -> None:
    """A node whose key file was lost must not be told that its books are forged."""
    day.sell(1)
    other = Seal(lambda: b"o" * 32)
    found = told(Auditor(day.house.database, other).verify(None, []))
    mine = Seal(lambda: KEY).name
    assert found == [f"m1: chain entry 2: its checkpoint was made with key {mine}, and this is key {other.name}"]


def test_a_restored_older_file_is_found(tmp_path: Path, day: Day, database_url: str, witness: Witness) -> None:
    """Yesterday's copy hangs together and has the key's checkpoints; but it lacks what was seen since."""
    if database_url:
        pytest.skip("a file is what is copied; PostgreSQL's rows are cut above")
    day.sell(1)
    file, copy = tmp_path / "gateway.db", tmp_path / "old.db"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    old_end = day.head().seq
    day.sell(1)
    seen, anchor = witness.read()["m1"], day.head()
    day.house.database.close()
    for name in ("gateway.db", "gateway.db-wal", "gateway.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(copy, file)
    restored = open_database(f"sqlite:///{file}")
    auditor = Auditor(restored, day.house.engine.sealer.key)
    assert told(auditor.verify(None, [])) == []
    found = told(auditor.verify(None, [anchor, Anchor("m1", *seen, source="heads")]))
    assert len(found) == 2
    assert all(f"the chain ends at {old_end}:" in text and "an older copy was restored" in text for text in found)
    # The shop goes on selling on the old copy, beyond what was seen: the witness must not forget.
    for order in ("N-new-1", "N-new-2", "N-new-3"):
        reply, _ = day.house.checkout(simple(order, f"2812345678999{len(order)}{order[-1]}456"))
        assert reply.status == 201, reply.body
        day.house.engine.sealer.seal()
    assert witness.read()["m1"] == seen
    found = told(auditor.verify(None, [Anchor("m1", *seen, source="heads")]))
    assert len(found) == 1 and "another entry there: an older copy was restored and went on" in found[0]
    restored.close()


def test_an_act_of_a_person_is_in_the_chain(day: Day) -> None:
    """Who said that a refund had been paid out, and on what evidence, must not be changed later."""
    row = {"id": "act_1", "merchant": "m1", "subject": "chk_x", "kind": "task.word", "who": "key:k1", "at": 1}
    day.house.database.tx(lambda tx: audit.act(tx, {**row, "data": '{"evidence":"slip 1"}'}))
    day.house.engine.sealer.seal()
    assert told(day.verify()) == []
    day.by_hand("UPDATE acts SET who = 'key:k2' WHERE id = 'act_1'")
    assert told(day.verify()) == ["m1: acts act_1: was changed after it was sealed"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"12:{'a' * 64}", Anchor("", 12, "a" * 64)),
        (f"m1/12:{'a' * 64}", Anchor("m1", 12, "a" * 64)),
        (json.dumps({"merchant": "m1", "audit_head": f"7:{'b' * 64}"}), Anchor("m1", 7, "b" * 64)),
    ],
)
def test_anchors_are_read_as_they_are_kept(text: str, expected: Anchor) -> None:
    """By hand, by merchant, or a line of the saved feed."""
    assert anchor_from(text) == expected
