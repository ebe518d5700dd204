"""A client of Alipay's open gateway: one signed call, one verified reply. The endpoint can be set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from gateway.sdk import Http, InvalidReply, Misconfigured, NotSent, OutcomeUnknown
from plugins.alipay.protocol import UNKNOWN, ParseError, Reply, SignatureError, build_request, read_reply

CHINA = timezone(timedelta(hours=8))
_FORM = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}

#: What to do about the refusals that say that the connection itself is set up wrongly.
ADVICE = {
    "isv.invalid-app-id": "app_id is not known at this endpoint",
    "isv.missing-signature": "the request was not signed: set app_private_key",
    "isv.missing-app-id": "set app_id",
    "isv.invalid-signature": "Alipay can't verify our signature: app_private_key does not fit the key uploaded there",
    "isv.invalid-signature-type": "the application at Alipay must use RSA2",
    "isv.insufficient-isv-permissions": "the merchant has no contract for face-to-face payment, or did not authorise",
    "isv.invalid-app-auth-token": "app_auth_token is not valid (any more): have the merchant authorise again",
    "aop.invalid-app-auth-token": "app_auth_token is not valid (any more): have the merchant authorise again",
}


class AlipayClient:
    """One merchant's access. Thread-safe; nothing is ever sent twice."""

    def __init__(
        self,
        http: Http,
        endpoint: str,
        app_id: str,
        private_key: RSAPrivateKey,
        alipay_key: RSAPublicKey,
        clock: Callable[[], datetime],
        app_auth_token: str = "",
    ) -> None:
        self._http, self._endpoint, self._app_id, self._clock = http, endpoint, app_id, clock
        self._private_key, self._alipay_key = private_key, alipay_key
        self._app_auth_token = app_auth_token

    def call(self, method: str, biz: Mapping[str, Any], *, timeout: float, notify_url: str = "") -> Reply:
        """Call a method and give its verified reply, whatever its code but 20000; ``timeout`` in seconds.

        Raises ``NotSent`` if nothing left us, ``Misconfigured`` if Alipay refuses us as a caller, ``InvalidReply`` for
        an answer that does not parse or verify, ``OutcomeUnknown`` for all else, code 20000 too.
        """
        if timeout <= 0:
            raise NotSent("the deadline has passed")
        stamp = f"{self._clock().astimezone(CHINA):%Y-%m-%d %H:%M:%S}"
        form = build_request(self._app_id, method, biz, self._private_key, stamp, notify_url, self._app_auth_token)
        answer = self._http.send("POST", self._endpoint, data=urlencode(form).encode(), headers=_FORM, timeout=timeout)
        if answer.status != 200:
            raise OutcomeUnknown(f"{method}: HTTP status {answer.status}")
        return _checked(method, self._read(method, answer.body))

    def download(self, url: str, *, timeout: float) -> bytes:
        """Fetch a file that a reply pointed to: over TLS, or from the endpoint's own host."""
        target, home = urlsplit(url), urlsplit(self._endpoint)
        if target.scheme != "https" and (target.scheme, target.hostname) != (home.scheme, home.hostname):
            raise InvalidReply("the address of a file is neither https nor at the endpoint's host")
        answer = self._http.send("GET", url, timeout=timeout)
        if answer.status != 200:
            raise OutcomeUnknown(f"the file can't be fetched: HTTP status {answer.status}")
        return answer.body

    def _read(self, method: str, body: bytes) -> Reply:
        try:
            return read_reply(body, method, self._alipay_key)
        except SignatureError as error:
            sub_code = error.detail.split(" ")[1] if error.detail.count(" ") else ""
            if sub_code in ADVICE:
                raise Misconfigured(f"{method}: {ADVICE[sub_code]} ({sub_code})") from None
            raise InvalidReply(f"{method}: {error}") from None
        except ParseError as error:
            raise InvalidReply(f"{method}: {error}") from None


def _checked(method: str, reply: Reply) -> Reply:
    if reply.sub_code in ADVICE:
        raise Misconfigured(f"{method}: {ADVICE[reply.sub_code]} ({reply.sub_code})")
    if reply.code == UNKNOWN or reply.sub_code.endswith("SYSTEM_ERROR"):
        raise OutcomeUnknown(f"{method}: {reply.code} {reply.sub_code} {reply.message}")
    return reply


@contextmanager
def after_sending() -> Iterator[None]:
    """A look after a change was sent: whatever goes wrong now, the change is no longer 'not sent'."""
    try:
        yield
    except NotSent as error:
        raise OutcomeUnknown(f"the change was sent, and can't be asked about now: {error}") from None
