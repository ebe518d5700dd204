"""SOAP against a service that spyne serves, and against hosts that answer badly."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.sdk import Http, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.formats.xml import fields_of, parse_xml
from gateway.sdk.parsing import ParseError
from gateway.sdk.transports import wire
from gateway.sdk.transports.soap import SoapClient, SoapFault, classify, failures
from tests.sdk.kit import ROOT, exceptions_of, make, serving

WSDL = Path(__file__).parent / "data" / "points.wsdl"


@pytest.fixture(scope="module")
def points() -> Iterator[SoapClient]:
    if find_spec("spyne") is None:
        pytest.skip("spyne is not installed: make peers")
    peer = subprocess.Popen(
        [sys.executable, "-m", "tests.sdk.soap_peer"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert peer.stdout is not None
    port = int(peer.stdout.readline())
    http = Http()
    yield SoapClient(http, WSDL, f"http://127.0.0.1:{port}/")
    http.close()
    peer.kill()
    peer.wait()
    peer.stdout.close()


def test_a_call_and_its_answer(points: SoapClient) -> None:
    assert points.call("add", {"ref": "r1", "points": 7}, timeout=5) == "会员7"
    assert "r1=7" in points.call("booked", timeout=5)


def test_a_fault_is_an_answer_with_its_code(points: SoapClient) -> None:
    with pytest.raises(SoapFault) as caught:
        points.call("add", {"ref": "r2", "points": 5000}, timeout=5)
    assert ("TooMany" in caught.value.code, caught.value.text) == (True, "积分过多")
    assert isinstance(caught.value, OutcomeUnknown)


def test_an_answer_that_takes_too_long_is_unknown_and_the_booking_was_made(points: SoapClient) -> None:
    with pytest.raises(OutcomeUnknown):
        points.call("add", {"ref": "slow", "points": 1}, timeout=0.3)
    time.sleep(1)
    assert "slow=1" in points.call("booked", timeout=5)


def test_what_does_not_fit_the_wsdl_is_never_sent(points: SoapClient) -> None:
    with pytest.raises(Misconfigured, match="no operation"):
        points.call("substract", timeout=5)
    with pytest.raises(NotSent, match="does not fit"):
        points.call("add", {"reference": "r3"}, timeout=5)
    assert wire.sends() == 0


def answers(body: bytes, status: str = "200 OK") -> Callable[[socket.socket], None]:
    def serve(client: socket.socket) -> None:
        data = b""
        while not data.endswith(b"Envelope>"):
            data += client.recv(65536)
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)

    return serve


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
<soap:Body>&c;</soap:Body></soap:Envelope>"""


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>busy</html>", b"\x00\xff", b"<a>" * 5000, LAUGHS, b"<soap:Envelope/>", b"<a/>"],
    ids=["empty", "page", "bytes", "deep", "laughs", "unbound", "other"],
)
@pytest.mark.parametrize("status", ["200 OK", "500 Error"])
def test_bad_answers_are_unknown(body: bytes, status: str) -> None:
    pytest.importorskip("zeep")
    http = Http()
    with serving(answers(body, status)) as port, pytest.raises(OutcomeUnknown):
        SoapClient(http, WSDL, f"http://127.0.0.1:{port}/").call("add", {"ref": "x", "points": 1}, timeout=2)
    http.close()


def test_nothing_is_fetched_to_read_a_wsdl(tmp_path: Path) -> None:
    """A WSDL that imports from the vendor's host would make each start depend on it."""
    wsdl = tmp_path / "a.wsdl"
    text = WSDL.read_text()
    cut = text.index("<wsdl:types>")
    wsdl.write_text(text[:cut] + '<wsdl:import namespace="urn:x" location="http://127.0.0.1:9/x.wsdl"/>' + text[cut:])
    with pytest.raises(Misconfigured, match="beside it"):
        SoapClient(Http(), wsdl, "http://127.0.0.1:9/").call("add", timeout=1)
    for content in ("", "<a/>", LAUGHS.decode()):
        wsdl.write_text(content)
        with pytest.raises(Misconfigured):
            SoapClient(Http(), wsdl, "http://127.0.0.1:9/").call("add", timeout=1)


def test_every_exception_class_of_zeep_and_lxml() -> None:
    zeep = pytest.importorskip("zeep.exceptions")
    etree = pytest.importorskip("lxml.etree")
    for cls in exceptions_of(zeep, etree):
        error = make(cls)
        assert isinstance(error, failures()), f"{cls} would escape as itself"
        assert isinstance(classify(error, "x", sent=False), NotSent)
        assert isinstance(classify(error, "x", sent=True), OutcomeUnknown)


@pytest.mark.parametrize("declared", ["GB18030", "gb2312", "gbk", ""])
def test_xml_in_chinese_encodings(declared: str) -> None:
    """Hospitals and tills send it, and the usual parser of Python knows none of them."""
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    raw = f"{head}<r><name>王珅𠮷</name></r>".encode("gb18030")
    assert fields_of(parse_xml(raw, encoding="gb18030")) == {"name": "王珅𠮷"}
    with pytest.raises(ParseError):
        parse_xml(raw[: raw.index(b"</name>") - 1] + b"</name></r>", encoding="gb18030")
    taiwan = '<?xml version="1.0" encoding="Big5"?><r><name>臺北</name></r>'.encode("big5")
    assert fields_of(parse_xml(taiwan)) == {"name": "臺北"}


def test_plain_xml() -> None:
    root = parse_xml("<xml><a>中</a><b/></xml>".encode())
    assert fields_of(root) == {"a": "中", "b": ""}
    for raw in (
        b"",
        b"<a>",
        LAUGHS,
        b"<a>" * 100 + b"</a>" * 100,
        b"\xff\xfe",
        b"<?xml version='1.0' encoding='x'?><a/>",
    ):
        with pytest.raises(ParseError):
            parse_xml(raw)
    for raw in (b"<x><a/><a/></x>", b"<x><a><b/></a></x>"):
        with pytest.raises(ParseError):
            fields_of(parse_xml(raw))
