"""A client of an official account's message interface: a call with the token in use, once more if that was void."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from gateway.sdk import Http, InvalidReply, KeyValue, Misconfigured, NotSent, OutcomeUnknown
from plugins.messages.mapping import ADVICE, LATER, VOID_TOKEN
from plugins.messages.protocol import TOKEN, Answer, ParseError, read_answer, read_token
from plugins.messages.tokens import Tokens


class AccountClient:
    """One account's access. Thread-safe. A message is sent once, and once more only after a void token."""

    def __init__(
        self,
        http: Http,
        endpoint: str,
        app_id: str,
        secret: str,
        clock: Callable[[], datetime],
        store: KeyValue,
        spool: Path,
        timeout_s: float,
    ) -> None:
        self._http, self._endpoint, self._clock, self._timeout_s = http, endpoint.rstrip("/"), clock, timeout_s
        self._app_id, self._secret = app_id, secret
        self._tokens = Tokens(self._fetch, store, spool, clock, app_id, secret)

    def call(self, method: str, path: str, body: bytes, until: datetime) -> Answer:
        """The answer to a call, whatever it says but that the token is void, or that nobody knows.

        A void token is exchanged once: the call before it did nothing. Raises ``NotSent`` where the call was surely not
        acted on, ``Misconfigured`` for what ``ADVICE`` tells of the token, ``OutcomeUnknown`` for all else.
        """
        token = self._token(lambda: self._tokens.current(until))
        answer = self._asked(method, path, body, token, until)
        if answer.code in VOID_TOKEN:
            void = token
            token = self._token(lambda: self._tokens.instead_of(void, until))
            answer = self._asked(method, path, body, token, until)
        if answer.code in VOID_TOKEN:
            raise NotSent(f"token after token is void: another program fetches those of app_id {self._app_id}")
        if answer.code in LATER:
            raise NotSent(f"too much at once for app_id {self._app_id} ({answer.code})")
        if answer.code == -1:
            raise OutcomeUnknown("the account's system is busy (-1)")
        return answer

    def renew(self, until: datetime) -> None:
        """See that the account gives a token for these settings, without making a good one void."""
        self._tokens.current(until)

    def _token(self, get: Callable[[], str]) -> str:
        """A token; whatever goes wrong in getting it, the message itself has not been sent."""
        try:
            return get()
        except OutcomeUnknown as error:
            raise NotSent(f"no access token for app_id {self._app_id}: {error}") from None

    def _asked(self, method: str, path: str, body: bytes, token: str, until: datetime) -> Answer:
        return self._exchange(method, f"{path}?{urlencode({'access_token': token})}", body, until)

    def _fetch(self, until: datetime) -> tuple[str, int]:
        asked = {"grant_type": "client_credential", "appid": self._app_id, "secret": self._secret}
        answer = self._exchange("GET", f"{TOKEN}?{urlencode(asked)}", b"", until)
        if answer.code in ADVICE:
            raise Misconfigured(f"{ADVICE[answer.code]} (app_id {self._app_id}, {answer.code})")
        if answer.code:
            raise NotSent(f"the account gives no access token now for app_id {self._app_id} ({answer.code})")
        try:
            return read_token(answer)
        except ParseError as error:
            raise InvalidReply(f"the answer with the token: {error}") from None

    def _exchange(self, method: str, path: str, body: bytes, until: datetime) -> Answer:
        seconds = min(self._timeout_s, (until - self._clock()).total_seconds())
        if seconds <= 0:
            raise NotSent("the deadline has passed")
        headers = {"Accept": "application/json", "User-Agent": "o2o-gateway"}
        headers |= {"Content-Type": "application/json"} if body else {}
        reply = self._http.send(method, f"{self._endpoint}{path}", data=body, headers=headers, timeout=seconds)
        what = path.partition("?")[0]
        if reply.status != 200:
            raise OutcomeUnknown(f"{what}: HTTP status {reply.status}")
        try:
            return read_answer(reply.body)
        except ParseError as error:
            raise InvalidReply(f"{what}: {error}") from None
