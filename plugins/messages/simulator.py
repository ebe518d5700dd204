"""An official account's message interface, simulated: one token at a time, templates, subscriptions, quotas.

Run it with ``gateway simulate messages``. Its README lists the levers, the options and the faults.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from plugins.messages.protocol import SEND, SUBSCRIPTIONS, TEMPLATES, TOKEN, Letter, ParseError, longest, read_letter
from plugins.messages.simulator_books import TEMPLATES as FIRST_TEMPLATES
from plugins.messages.simulator_books import Books, openid_of

_OPERATIONS = {TOKEN: "token", TEMPLATES: "templates", SUBSCRIPTIONS: "subscriptions"} | {
    path: kind for kind, path in SEND.items()
}
_DAY, _MINUTE = 86_400, 60


class Refusal(Exception):
    """A request is refused: the number and what is said of it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class OfficialAccountSimulator(Simulator):
    """The simulated account; its secret and its books are in its data folder."""

    name = "messages"
    extra_faults: ClassVar[dict[str, str]] = {
        "token_taken": "another program fetches a token first: the caller's is void",
        "token_expired": "refuse the token as expired (42001), though it is not",
        "token_refused": "refuse to give a token (45009: as many as a day allows)",
        "quota": "refuse a message: as many as a day allows (45009)",
        "too_fast": "refuse a message: as many as a minute allows (45011)",
        "unlisted": "refuse a message with a number that no document lists (45999)",
    }

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self.who = _load_or_make(data)
        self.books_ = Books(data / "messages.db")
        self.templates = {each[0]: each for each in FIRST_TEMPLATES}
        self.requests: Counter[str] = Counter()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> dict[str, str]:
        self._server = serve_http(self._handle, self.port("account"))
        return {"account": f"{LOOPBACK}:{self._server.server_address[1]}"}

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self.books_.close()

    def books(self) -> dict[str, Any]:
        return self.books_.shown() | {"requests": dict(self.requests)}

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        openid = str(command.get("openid") or openid_of(int(command.get("follower", 0))))
        match command.get("do"):
            case "follower":
                return {"openid": openid}
            case "follow" | "unfollow" as how:
                sql = (
                    "INSERT INTO people VALUES (?, ?, 0) ON CONFLICT (openid) DO UPDATE SET follows = excluded.follows"
                )
                self.books_.write(sql, openid, int(how == "follow"))
            case "block":
                self.books_.write("UPDATE people SET refuses = 1 WHERE openid = ?", openid)
            case "subscribe":
                self.books_.allow(openid, str(command["template"]), int(command.get("count", 1)))
            case "withdraw":
                self.books_.allow(openid, str(command["template"]), 0)
            case "fetch_token":
                return {"access_token": self._issue()}
            case _:
                return super().control(command)
        return {"openid": openid}

    # -- HTTP ----------------------------------------------------------------------------------------------------

    def _handle(self, request: HttpRequest) -> HttpReply:
        operation = _OPERATIONS.get(request.path, "unknown")
        self.requests[operation] += 1
        self._before(operation)
        if (late := self.faults.take("late_success", operation)) is not None:
            timer = threading.Timer(late.value / 1000, lambda: self._act(operation, request))
            timer.daemon = True
            timer.start()
            raise Hangup
        if self.faults.take("error", operation):
            return _reply({"errcode": -1, "errmsg": "system error, please try again later"})
        fields = self._act(operation, request)
        if self.faults.take("duplicate", operation):
            fields = self._act(operation, request)
        return self._after(operation, fields)

    def _before(self, operation: str) -> None:
        pause = float(self.options.get("latency_ms", "0"))
        if (fault := self.faults.take("latency", operation)) is not None:
            pause += fault.value
        if pause:
            time.sleep(pause / 1000)
        if self.faults.take("refuse", operation) or self.faults.take("drop_before", operation):
            raise Hangup

    def _after(self, operation: str, fields: dict[str, Any]) -> HttpReply:
        """Send the answer, or what a fault makes of it."""
        take = self.faults.take
        if (fault := take("slow", operation)) is not None:
            time.sleep(fault.value / 1000)
        if take("drop_after", operation):
            raise Hangup
        if take("garbage", operation):
            return HttpReply(200, b"<html><body>502 Bad Gateway \xff\xfe</body></html>", "text/html")
        if take("wrong_id", operation) and "msgid" in fields:
            fields = {**fields, "msgid": fields["msgid"] + 1}
        reply = _reply(fields)
        if take("wrong_encoding", operation):
            return HttpReply(200, reply.body.decode().encode("utf-16"))
        if take("half_body", operation):
            return HttpReply(200, reply.body, truncate=len(reply.body) // 2)
        return reply

    def _act(self, operation: str, request: HttpRequest) -> dict[str, Any]:
        """Do what was asked; also for a request that is not one."""
        try:
            return self._done(operation, request)
        except Refusal as refusal:
            return {"errcode": refusal.code, "errmsg": f"{refusal.text} rid: {secrets.token_hex(8)}"}
        except ParseError as error:
            return {"errcode": 47001, "errmsg": f"data format error: {error}"}

    def _done(self, operation: str, request: HttpRequest) -> dict[str, Any]:
        if operation == "token":
            return self._token(request.query)
        if operation == "unknown":
            raise Refusal(40066, "invalid url")
        with self.books_.lock:
            self._check_token(request.query.get("access_token", ""), operation)
            if operation in ("template", "subscription"):
                if request.method != "POST":
                    raise Refusal(43002, "require POST method")
                return self._send(operation, read_letter(request.body))
        return self._list(operation)

    # -- tokens --------------------------------------------------------------------------------------------------

    def _token(self, query: Mapping[str, str]) -> dict[str, Any]:
        if query.get("grant_type") != "client_credential":
            raise Refusal(40002, "invalid grant_type")
        if query.get("appid") != self.who["app_id"]:
            raise Refusal(40013, "invalid appid")
        if query.get("secret") != self.who["app_secret"]:
            raise Refusal(40125, "invalid appsecret")
        if self.faults.take("token_refused", "token"):
            raise Refusal(45009, "reach max api daily quota limit")
        return {"access_token": self._issue(), "expires_in": self._life}

    @property
    def _life(self) -> int:
        return int(self.options.get("token_life_s", "7200"))

    def _issue(self) -> str:
        """A new token; the one before it is void, after a while of grace if the options give one."""
        token, now = f"{secrets.randbelow(90) + 10}_{secrets.token_urlsafe(96)}", self.now()
        self.books_.issue(token, now, now + self._life)
        return token

    def _check_token(self, token: str, operation: str) -> None:
        if not token:
            raise Refusal(41001, "access_token missing")
        if self.faults.take("token_taken", operation):
            self._issue()
        if self.faults.take("token_expired", operation):
            raise Refusal(42001, "access_token expired")
        known = self.books_.tokens()
        place = next((place for place, row in enumerate(known) if row[0] == token), None)
        if place is None:
            raise Refusal(40001, "invalid credential, access_token is invalid or not latest")
        if self.now() >= known[place][2]:
            raise Refusal(42001, "access_token expired")
        grace = float(self.options.get("token_grace_s", "0"))
        if place > 1 or (place == 1 and self.now() >= known[0][1] + grace):
            raise Refusal(40001, "invalid credential, access_token is invalid or not latest")

    # -- messages ------------------------------------------------------------------------------------------------

    def _list(self, operation: str) -> dict[str, Any]:
        if operation == "templates":
            rows = [each for each in self.templates.values() if each[1] == "template"]
            return {
                "template_list": [{"template_id": row[0], "title": row[2], "content": _content(row[3])} for row in rows]
            }
        rows = [each for each in self.templates.values() if each[1] == "subscription"]
        told = [{"priTmplId": row[0], "title": row[2], "content": _content(row[3]), "type": 2} for row in rows]
        return {"errcode": 0, "errmsg": "ok", "data": told}

    def _send(self, kind: str, letter: Letter) -> dict[str, Any]:
        """Send a message, unless its number was sent to this person in the last minutes."""
        for fault, refusal in _FAULTS.items():
            if self.faults.take(fault, kind):
                raise Refusal(*refusal)
        self._limits(kind)
        known_s = float(self.options.get("number_known_s", "600"))
        before = self.books_.sent_before(letter.receiver, letter.number, self.now() - known_s)
        if before is not None:
            return {"errcode": 0, "errmsg": "ok", "msgid": before}
        self._may_be_sent(kind, letter)
        return {"errcode": 0, "errmsg": "ok", "msgid": self.books_.send(kind, letter, self.now())}

    def _limits(self, kind: str) -> None:
        now = self.now()
        today = now - (now + 8 * 3600) % _DAY
        if self.books_.sent_since(today, kind) >= int(self.options.get("day_quota", "100000")):
            raise Refusal(*_FAULTS["quota"])
        if self.books_.sent_since(now - _MINUTE, kind) >= int(self.options.get("minute_quota", "100000")):
            raise Refusal(*_FAULTS["too_fast"])

    def _may_be_sent(self, kind: str, letter: Letter) -> None:
        template = self.templates.get(letter.template)
        if template is None or template[1] != kind:
            raise Refusal(40037, "invalid template_id")
        person = self.books_.person(letter.receiver)
        if person is None:
            raise Refusal(40003, "invalid openid")
        if kind == "template" and not person.follows:
            raise Refusal(43004, "require subscribe")
        if person.refuses or (kind == "subscription" and not self.books_.allowed(letter.receiver, letter.template)):
            raise Refusal(43101, "user refuse to accept the msg")
        for keyword in template[3]:
            value = letter.values.get(keyword, "")
            if not value:
                raise Refusal(47003, f"argument invalid! data.{keyword}.value is empty")
            if kind == "subscription" and len(value) > (longest(keyword) or len(value)):
                raise Refusal(47003, f"argument invalid! data.{keyword}.value invalid")


_FAULTS: Mapping[str, tuple[int, str]] = {
    "quota": (45009, "reach max api daily quota limit"),
    "too_fast": (45011, "api minute-quota reach limit, must slower, retry next minute"),
    "unlisted": (45999, "something that nobody has explained"),
}


def _content(keywords: tuple[str, ...]) -> str:
    return "\n".join(f"{{{{{keyword}.DATA}}}}" for keyword in keywords)


def _reply(fields: Mapping[str, Any]) -> HttpReply:
    return HttpReply(200, json.dumps(fields, ensure_ascii=False).encode())


def _load_or_make(data: Path) -> dict[str, str]:
    """Who the account is; made once. The secret's file is for the merchant's own settings."""
    file = data / "account.json"
    if file.exists():
        return dict(json.loads(file.read_text(encoding="utf-8")))
    who = {"app_id": f"wx{secrets.token_hex(8)}", "app_secret": secrets.token_hex(16)}
    for path, text in ((data / "app_secret.txt", who["app_secret"]), (file, json.dumps(who))):
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    return who
