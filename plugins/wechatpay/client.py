"""A client of WeChat Pay v3: one signed request, one verified reply. The endpoint can be set."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.sdk import Http, HttpReply, InvalidReply, KeyValue, Misconfigured, NotSent, OutcomeUnknown, ParseError
from gateway.sdk.signers.wechat_v3 import Merchant, SignatureError, authorization, check
from plugins.wechatpay.protocol import Certificate, Reply, dump, read_certificate, read_certificates, read_object

#: What to do about the refusals that say that the connection itself is set up wrongly.
ADVICE = {
    "SIGN_ERROR": "mchid, serial_no and private_key must belong together (API certificate of the merchant)",
    "NO_AUTH": "the merchant has no contract for this product, or may not use this interface",
    "MCH_NOT_EXISTS": "mchid is not known at this endpoint",
    "APPID_MCHID_NOT_MATCH": "appid is not bound to mchid: bind it in the merchant platform",
}
#: Errors after which nobody knows: ask, never guess.
UNKNOWN = ("SYSTEM_ERROR", "SYSTEMERROR", "BANK_ERROR", "BANKERROR", "FREQUENCY_LIMITED", "FREQUENCY_LIMIT_EXCEED")
KEPT = "certificates"
MOST_CERTIFICATES = 8


class WechatPayClient:
    """One merchant's access. Thread-safe; nothing is ever sent twice.

    WeChat Pay's own keys are found by serial number: the public key of the settings, and its certificates, which are
    fetched when a serial number is not known yet (they are exchanged every few years) and kept in ``store``.
    """

    def __init__(
        self,
        http: Http,
        endpoint: str,
        merchant: Merchant,
        api_v3_key: bytes,
        clock: Callable[[], datetime],
        store: KeyValue,
        public_keys: Mapping[str, RSAPublicKey],
    ) -> None:
        self._http, self._endpoint, self._merchant = http, endpoint.rstrip("/"), merchant
        self._api_v3_key, self._clock, self._store = api_v3_key, clock, store
        self._public_keys = dict(public_keys)
        self._certificates: dict[str, Certificate] = {}
        self._lock = Lock()
        for serial, pem in (store.get(KEPT) or {}).items():
            self._certificates[serial] = read_certificate(serial, pem)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout: float) -> Reply:
        """Send a request and give its verified reply, whatever it says but that nobody knows; ``timeout`` in seconds.

        Raises ``NotSent`` if nothing left us, ``Misconfigured`` if we are refused as a caller, ``InvalidReply`` for an
        answer that does not parse or verify, ``OutcomeUnknown`` for all else, as ``SYSTEM_ERROR``.
        """
        answer = self._send(method, path, b"" if body is None else dump(body), timeout)
        try:
            fields = self._verified(answer, timeout)
            reply = Reply(answer.status, fields)
            return _checked(f"{method} {path.partition('?')[0]}", reply)
        except ParseError as error:
            raise InvalidReply(f"{error} (HTTP status {answer.status})") from None

    def download(self, url: str, *, timeout: float) -> bytes:
        """Fetch a bill's file: over TLS, or from the endpoint's own host. It is not signed: its hash was told."""
        target, home = urlsplit(url), urlsplit(self._endpoint)
        own = (target.scheme, target.hostname) == (home.scheme, home.hostname)
        if not own and (target.scheme != "https" or not target.hostname):
            raise InvalidReply("the address of a file is neither https nor at the endpoint's host")
        query = f"?{target.query}" if target.query else ""
        root = f"{target.scheme}://{target.netloc}"
        answer = self._send("GET", f"{target.path}{query}", b"", timeout, root)
        if answer.status != 200:
            raise OutcomeUnknown(f"the file can't be fetched: HTTP status {answer.status}")
        return answer.body

    def check_notice(self, headers: Mapping[str, str], body: bytes, *, timeout: float) -> None:
        """See that a notice is WeChat Pay's. Raises ``SignatureError``; certificates are fetched if they must be."""
        self._check(headers, body, timeout)

    def certificates(self, *, timeout: float) -> bool:
        """Fetch WeChat Pay's certificates; ``False`` if this merchant has none (it uses the public key alone).

        Raises ``Misconfigured`` if the APIv3 key does not open them.
        """
        answer = self._send("GET", "/v3/certificates", b"", timeout)
        try:
            fields = read_object(answer.body)
            reply = Reply(answer.status, fields)
            if reply.status == 404:
                check(answer.headers, answer.body, self._keys(), self._clock())
                return False
            if not reply.ok:
                _checked("GET /v3/certificates", reply)
                raise InvalidReply(f"GET /v3/certificates: {reply.status} {reply.code}")
            self._take(answer, fields)
        except ParseError as error:
            raise InvalidReply(f"GET /v3/certificates: {error} (HTTP status {answer.status})") from None
        return True

    def _take(self, answer: HttpReply, fields: Mapping[str, Any]) -> None:
        """Believe certificates that our own APIv3 key opens, and that sign the reply they came in."""
        try:
            found = read_certificates(fields, self._api_v3_key)
        except ParseError as error:
            if "decrypted" not in str(error):
                raise
            raise Misconfigured("WeChat Pay's certificates can't be opened: check api_v3_key") from None
        fresh = {each.serial: each for each in found}
        check(answer.headers, answer.body, self._keys() | {each.serial: each.key for each in found}, self._clock())
        with self._lock:
            kept = dict(list((self._certificates | fresh).items())[-MOST_CERTIFICATES:])
            self._certificates = kept
            self._store.put(KEPT, {serial: each.pem for serial, each in kept.items()})

    def _send(self, method: str, path: str, body: bytes, timeout: float, root: str = "") -> HttpReply:
        if timeout <= 0:
            raise NotSent("the deadline has passed")
        url, stamp = f"{root or self._endpoint}{path}", str(int(self._clock().timestamp()))
        headers = {
            "Authorization": authorization(
                self._merchant, method, url, body, timestamp=stamp, nonce=secrets.token_hex(16)
            ),
            "Accept": "application/json",
            "User-Agent": "o2o-gateway",
        }
        headers |= {"Content-Type": "application/json"} if body else {}
        headers |= {"Wechatpay-Serial": next(iter(self._public_keys))} if self._public_keys else {}
        return self._http.send(method, url, data=body, headers=headers, timeout=timeout)

    def _verified(self, answer: HttpReply, timeout: float) -> dict[str, Any]:
        """The members of a reply that is signed. A refused signature is not, and says so without proof."""
        try:
            self._check(answer.headers, answer.body, timeout)
        except SignatureError:
            if answer.status == 401 and "wechatpay-signature" not in answer.headers:
                _checked("WeChat Pay", Reply(401, read_object(answer.body)))
            raise
        return read_object(answer.body)

    def _check(self, headers: Mapping[str, str], body: bytes, timeout: float) -> None:
        serial = headers.get("wechatpay-serial", "")
        if serial and serial not in self._keys() and len(serial) <= 64:
            with after_sending():
                self.certificates(timeout=timeout)
        check(headers, body, self._keys(), self._clock())

    def _keys(self) -> dict[str, RSAPublicKey]:
        now = self._clock()
        valid = {serial: each.key for serial, each in self._certificates.items() if each.begins <= now <= each.ends}
        return valid | self._public_keys


def _checked(what: str, reply: Reply) -> Reply:
    code = reply.code
    if code in ADVICE:
        raise Misconfigured(f"{what}: {ADVICE[code]} ({reply.status} {code})")
    if code in UNKNOWN or reply.status >= 500:
        raise OutcomeUnknown(f"{what}: {reply.status} {code} {reply.message[:80]}")
    if not reply.ok and not code:
        raise ParseError("an error without its code")
    return reply


@contextmanager
def after_sending() -> Iterator[None]:
    """A look after a change was sent: whatever goes wrong now, the change is no longer 'not sent'."""
    try:
        yield
    except NotSent as error:
        raise OutcomeUnknown(f"it was sent, and can't be asked about now: {error}") from None
