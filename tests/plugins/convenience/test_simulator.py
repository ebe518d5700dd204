"""The legacy system has the quirks that the adapter must live with; without them the adapter's tests prove nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from gateway.sdk.simulator import start
from plugins.convenience.files import parse_plu, parse_scale
from plugins.convenience.protocol import ParseError
from plugins.convenience.simulator import ConvenienceSimulator
from plugins.convenience.simulator_data import BRANCHES, ITEMS
from plugins.convenience.simulator_watcher import read_prices_as_a_till
from tests.plugins.convenience.conftest import BRANCHES as STORES
from tests.plugins.convenience.conftest import TWELVE, Shop, key, wait_for


def rows(shop: Shop, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in shop.simulator.head_office.rows(sql)]


def test_the_chain_has_four_shops_in_two_cities_and_about_sixty_articles() -> None:
    assert len(BRANCHES) == 4 and len({branch.city for branch in BRANCHES}) == 2
    assert 55 <= len(ITEMS) <= 70
    assert sum(line.net_amount for line in TWELVE) == 1200


def test_rows_arrive_in_the_order_of_upload_not_of_sale(shop: Shop) -> None:
    first = shop.do("sell", branch="0101", till="02", lines=[{"item_no": "010001"}])["flow_no"]
    second = shop.do("sell", branch="0102", lines=[{"item_no": "010001"}])["flow_no"]
    shop.do("upload", branch="0102")
    shop.do("upload", branch="0101")
    assert [row[0].strip() for row in rows(shop, "SELECT flow_no FROM payflow ORDER BY com_no")] == [second, first]


def test_values_are_padded_and_returns_are_positive(shop: Shop) -> None:
    sold = shop.do("sell", branch="0101", lines=[{"item_no": "980001", "quantity": "2"}])["flow_no"]
    shop.do("return", flow_no=sold)
    shop.do("upload")
    sql = "SELECT flow_no, branch_no, pay_way, sell_way, pay_amount, voucher_no FROM payflow ORDER BY com_no"
    sale, back = rows(shop, sql)
    assert sale[:5] == (f"{sold}  ", "0101  ", "RMB", "A", "6.0000")
    assert back[3:] == ("B", "6.0000", f"{sold}  ")


def test_change_is_a_row_of_its_own(shop: Shop) -> None:
    shop.do("sell", branch="0101", lines=[{"item_no": "980001"}], tenders=[{"pay_way": "RMB", "amount": 1000}])
    shop.do("upload")
    assert rows(shop, "SELECT sell_way, pay_amount FROM payflow") == [("A", "10.0000"), ("D", "7.0000")]
    assert shop.simulator.books()["money"] == {"RMB": 300}


def test_the_till_reads_scale_labels_and_two_articles_share_a_barcode(shop: Shop) -> None:
    printed = shop.do("print_label", branch="0101", item_no="050002", grams=750, prefix="22")
    assert printed == {"label": "2201234007508", "amount": 1935}
    assert shop.do("sell", branch="0101", lines=[{"label": "2201234007508"}])["total"] == 1935
    assert shop.do("sell", branch="0101", lines=[{"label": "2106013040083"}])["total"] == 4008
    tea = next(item.barcode for item in ITEMS if item.number == "010003")
    assert shop.do("scan", code=tea)["items"] == ["010003", "010004"]


def test_an_offline_till_uploads_only_by_hand_and_a_reset_till_repeats_its_numbers(shop: Shop) -> None:
    shop.do("set_till", branch="0101", online=0)
    first = shop.do("sell", branch="0101", lines=[{"item_no": "980001"}])["flow_no"]
    assert shop.simulator.upload(shop.simulator.now() + 1) == 0
    shop.do("set_till", branch="0101", reset=True)
    assert shop.do("sell", branch="0101", lines=[{"item_no": "980002"}])["flow_no"] == first
    assert shop.do("upload", branch="0101") == {"uploaded": 2}


def test_the_day_end_counts_only_what_was_uploaded(shop: Shop) -> None:
    shop.do("sell", branch="0101", lines=[{"item_no": "060001"}], card="8800000001")
    shop.do("upload")
    shop.do("sell", branch="0101", lines=[{"item_no": "010001"}])
    shop.do("deliver", branch="0101", item_no="010001", quantity="48")
    shop.do("day_end")
    sql = "SELECT qnty FROM dayend WHERE branch_no = '0101  ' AND item_no = '010001              '"
    assert rows(shop, sql) == [("224.0000",)]
    assert shop.simulator.books()["stock"]["0101"]["010001"] == "223.000"
    assert shop.simulator.books()["points"]["8800000001"] == 1280 + 42


def test_a_deleted_bill_leaves_a_gap(shop: Shop) -> None:
    sold = [shop.do("sell", branch="0101", lines=[{"item_no": "980001"}])["flow_no"] for _ in range(3)]
    shop.do("upload")
    shop.do("delete_bill", flow_no=sold[1])
    assert [row[0] for row in rows(shop, "SELECT com_no FROM payflow")] == [1, 3]


def test_a_half_written_price_file_gives_the_till_a_wrong_price(shop: Shop) -> None:
    """Why files are written aside and renamed: this till takes half a price for a price."""
    assert shop.do("export_plu", branch="0101")["rows"] > 50
    folder = shop.simulator.drop / "0101"
    wait_for(lambda: (folder / "PLU.OK").exists())
    content = (folder / "PLU.OK").read_bytes()
    cut = content[: content.index(b"100.2000") + 2]
    assert [row.price for row in read_prices_as_a_till(cut)][-1] == 10
    with pytest.raises(ParseError):
        parse_plu(cut)
    (folder / "PLU.OK").unlink()
    shop.fault("half_plu")
    shop.do("export_plu", branch="0101")
    wait_for(lambda: (folder / "PLU.OK").exists())
    with pytest.raises(ParseError):
        parse_plu((folder / "PLU.OK").read_bytes())


def test_the_scale_file_names_weighed_articles(shop: Shop) -> None:
    shop.do("export_scale", branch="0201")
    scale = parse_scale((shop.simulator.drop / "0201" / "SCALE" / "21.DAT").read_bytes())
    assert [(row.plu, row.price) for row in scale][:2] == [("06013", 10020), ("01234", 2580)]


def test_the_till_does_not_remember_references(shop: Shop) -> None:
    """The reason for looking before sending: the same file dropped twice is rung up twice."""
    shop.post(1)
    answer = shop.answered(1)
    (answer.parent / "again").write_bytes(_order_bytes(shop))
    answer.unlink()
    (answer.parent / "again").rename(answer.with_suffix(".ORD"))
    shop.answered(1)
    assert len(shop.rung(1)) == 2


def _order_bytes(shop: Shop) -> bytes:
    from plugins.convenience.mapping import sale_file

    return sale_file(
        shop.sent[key(1)][0], key(1), "0101", {"pay_ways": {}, "fee_item": "", "points_pay_way": "COU"}
    ).encode()


def test_garbage_and_a_refusal_do_not_stop_the_till(shop: Shop) -> None:
    folder = shop.simulator.drop / "0101"
    for name, content in ((key(7), b"\xff\x00garbage"), (key(8), b""), ("bad name", b"H\t\r\n")):
        (folder / f"{name}.ORD").write_bytes(content)
    wait_for(lambda: len(list(folder.glob("*.ERR"))) == 3)
    shop.post(1)
    assert shop.answered(1).suffix == ".OK"


def test_clients_at_the_same_time_each_get_one_bill(shop: Shop) -> None:
    threads = [threading.Thread(target=shop.post, args=(number,)) for number in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    wait_for(lambda: len(shop.simulator.books()["orders"]) == 20)
    bills = [bill for found in shop.simulator.books()["orders"].values() for bill in found]
    assert len(set(bills)) == 20


def test_books_survive_a_restart(tmp_path: Path) -> None:
    first = ConvenienceSimulator(tmp_path, {"upload_delay_s": "off"})
    first.start()
    first.control({"do": "sell", "branch": "0101", "lines": [{"item_no": "980001"}]})
    before = first.books()
    first.stop()
    second = ConvenienceSimulator(tmp_path, {"upload_delay_s": "off"})
    second.start()
    assert second.books() == before
    second.stop()


def test_tills_upload_by_themselves_after_the_delay(tmp_path: Path) -> None:
    simulator = ConvenienceSimulator(tmp_path, {"upload_delay_s": "0.1", "poll_ms": "10"})
    running = start(simulator)
    simulator.control({"do": "sell", "branch": "0101", "lines": [{"item_no": "980001"}]})
    wait_for(lambda: simulator.books()["uploaded_rows"] == 1)
    running.stop()


def test_it_runs_as_a_program_with_a_panel(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from gateway.sdk.simulator import run;"
        "from plugins.convenience.simulator import ConvenienceSimulator as S;"
        f"run(S(Path({str(tmp_path)!r}), {{}}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    try:
        assert process.stdout is not None
        begun = json.loads(process.stdout.readline())
        body = json.dumps({"do": "sell", "branch": "0101", "lines": [{"item_no": "980001"}]}).encode()
        with urllib.request.urlopen(urllib.request.Request(begun["panel"] + "/control", body, method="POST")) as reply:
            assert json.load(reply)["total"] == 300
        with urllib.request.urlopen(begun["panel"] + "/books") as reply:
            assert json.load(reply)["money"] == {"RMB": 300}
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout and process.stdout.close()


@pytest.mark.parametrize(
    "command", [{}, {"do": "nonsense"}, {"do": "sell", "branch": "0101", "lines": [{"item_no": "x"}]}]
)
def test_a_wrong_lever_is_a_value_error(shop: Shop, command: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no lever|商品不存在"):
        shop.simulator.control(command)


def test_every_store_has_its_folder(shop: Shop) -> None:
    assert {path.name for path in shop.simulator.drop.iterdir()} == set(STORES.values())
