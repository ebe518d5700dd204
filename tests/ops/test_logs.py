"""The log: one event a line whatever is in it, only the fields that are allowed, nothing personal, no secret."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from gateway.ops.logs import FIELDS, JsonLines, Stderr, TextLines, event
from gateway.sdk.transports.masking import Masker

ROOT = Path(__file__).parents[2]
ALWAYS = {"at", "level", "log", "pid", "message"}


def record(message: str, *values: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("gateway.tests").makeRecord(
        "gateway.tests", logging.WARNING, __file__, 1, message, values, None, extra=extra
    )


def raised(error: BaseException, cause: BaseException | None = None) -> logging.LogRecord:
    try:
        raise error from cause
    except BaseException:
        made = record("internal error")
        made.exc_info = sys.exc_info()
        return made


def line(made: logging.LogRecord) -> dict[str, Any]:
    text = JsonLines().format(made)
    assert len(text.splitlines()) == 1
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(
    "text",
    [
        'a\n{"level":"info","message":"forged"}',
        "a\r\nb",
        "a\x0b\x0c\x1c\x85b",
        "a\u2028b\u2029c",
        "\x1b[2Jgone",
        "\u202egnp.exe",
        "half \ud800 a pair",
        '"}{',
        "\x00",
    ],
)
@pytest.mark.parametrize("form", [JsonLines, TextLines])
def test_no_text_ends_a_line(form: type[logging.Formatter], text: str) -> None:
    """What a platform sends must not forge an entry, wipe the operator's screen or turn what it reads."""
    found = form().format(record(text, trouble=text))
    assert len(found.splitlines()) == 1 and found.isprintable()
    assert found.encode("utf-8")
    if form is JsonLines:
        assert json.loads(found)["message"] == text


def test_only_allowed_fields_are_written() -> None:
    """Whoever adds a body or a member to a log line one day does not put it into the log by that."""
    made = record("x", body={"phone": "13912345678"}, member="Li Lei", merchant="m1", saga="chk_1", status=503)
    assert set(line(made)) == ALWAYS | {"merchant", "checkout", "status"}
    assert (line(made)["checkout"], line(record("x", saga="rfd_1"))["subject"]) == ("chk_1", "rfd_1")
    assert set(line(record("x", trouble={"a": "13912345678"}))) - ALWAYS == {"trouble"}
    assert line(record("x", trouble={"a": "13912345678"}))["trouble"] == "dict"
    assert "body" not in FIELDS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("member 13800138000 asked", "member 138****8000 asked"),
        ("code 281234567890123456", "code ****3456"),
        ("card 4111111111111111", "card ****1111"),
        ("password=hunter22", "password=***"),
        ("key gwk_" + "A" * 43 + " refused", "key gwk_*** refused"),
    ],
)
def test_texts_are_masked(text: str, shown: str) -> None:
    """A phone, a payment code, a card, a key in a message or a field is not kept in full."""
    found = line(record(text, trouble=text))
    assert (found["message"], found["trouble"]) == (shown, shown)


def test_a_connection_s_secrets_are_masked_whatever_it_says() -> None:
    """An adapter that writes its password into its log is masked by what its connection must not show."""
    assert line(record("it is %s", "open-sesame", masker=Masker(["open-sesame"])))["message"] == "it is ***"


def test_an_exception_is_told_without_its_text() -> None:
    """A KeyError's text is the key, which may be a phone; places say enough to find it."""
    made = raised(ValueError("13800138000 canary-body"), KeyError("canary-cause"))
    for form in (JsonLines(), TextLines()):
        text = form.format(made)
        assert "canary" not in text and "138" not in text
    found = line(made)
    assert found["error"] == "ValueError"
    assert found["stack"][0] == "ValueError" and "KeyError" in found["stack"]
    assert found["stack"][1].startswith("tests/ops/test_logs.py:") and found["stack"][1].endswith(" raised")


def test_a_request_s_lines_carry_its_id_merchant_and_checkout() -> None:
    """Whoever has a request id from a problem finds every line that the request has caused."""
    app = Flask("x")
    found: list[dict[str, Any]] = []

    @app.get("/<merchant>/checkouts/<checkout_id>")
    def view(merchant: str, checkout_id: str) -> str:
        from flask import g

        g.request_id = "req_1"
        found.append(event(record("x")))
        return ""

    app.test_client().get("/m1/checkouts/chk_1")
    assert [(f["request_id"], f["merchant"], f["checkout"]) for f in found] == [("req_1", "m1", "chk_1")]


def test_a_mistake_in_a_log_line_breaks_nothing() -> None:
    """Arguments that do not fit are told as they are; a closed standard error is survived."""
    assert line(record("%s and %s", 1))["message"] == "%s and %s"
    handler = Stderr()
    handler.setFormatter(JsonLines())
    handler.emit(logging.makeLogRecord({"created": "not a time"}))


_ENDS = """
import logging, threading
from gateway.ops import logs
logs.set_up({form!r})
def fail(): raise ValueError("canary 13800138000")
thread = threading.Thread(target=fail); thread.start(); thread.join()
logging.getLogger("gunicorn.error").warning("Invalid request: Authorization: Bearer canary-token")
fail()
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_ends_a_thread_or_the_process_is_told_the_same_way(form: str) -> None:
    """The dump of a crash is the place where secrets are printed that nobody meant to print."""
    done = subprocess.run(
        [sys.executable, "-c", _ENDS.format(form=form)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 3, done.stderr
    assert "canary" not in done.stderr and "13800138000" not in done.stderr
    assert "a thread ended by an exception" in lines[0] and "the process ended by an exception" in lines[2]
    if form == "json":
        assert [json.loads(text)["level"] for text in lines] == ["critical", "warning", "critical"]


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    """Half a line of one within a line of another could be read by nobody."""
    script = (
        "import logging, threading\nfrom gateway.ops import logs\nlogs.set_up()\n"
        "log = logging.getLogger('gateway')\n"
        "work = lambda: [log.info('x' * 900) for _ in range(200)]\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    with (tmp_path / "log").open("wb") as file:
        started = [subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=file) for _ in range(2)]
        assert [process.wait(60) for process in started] == [0, 0]
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 3200 and all(json.loads(text)["message"] == "x" * 900 for text in lines)


def test_threads_and_hooks_of_this_process_are_as_they_were() -> None:
    """The tests above must not have switched the log on for all tests after them."""
    assert threading.excepthook.__module__ != "gateway.ops.logs" and not os.environ.get("GATEWAY_LOG")
