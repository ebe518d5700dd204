"""SOAP by zeep (extra ``soap``): the WSDL is a file of the plugin, the bytes travel by the SDK's own HTTP client.

    till = SoapClient(context.http, Path(__file__).parent / "sales.wsdl", settings["url"])
    answer = till.call("postsalescreate", {"astr_request": {...}}, timeout=call.remaining())

Nothing is ever fetched to know the service: what a WSDL imports must lie beside it. Document type declarations,
entities and very deep or large trees are refused. A fault is an answer, and what it means is the adapter's to say.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from gateway.domain.errors import AdapterError, InvalidReply, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.optional import load
from gateway.sdk.transports import wire
from gateway.sdk.transports.http import Http

#: zeep's exceptions that say that the WSDL does not fit, before anything is sent.
_WSDL_TROUBLE = ("WsdlSyntaxError", "IncompatibleMessage", "IncompatibleOperation", "NamespaceError", "LookupError")


class SoapFault(OutcomeUnknown):
    """The server answered with a fault: ``code`` and ``text`` are its own words.

    Unknown, unless the adapter knows that this code is given before anything was done.
    """

    def __init__(self, operation: str, code: str, text: str) -> None:
        super().__init__(f"{operation}: fault {code[:60]} {text[:200]}")
        self.code, self.text = code, text


def failures() -> tuple[type[Exception], ...]:
    """All that zeep and lxml raise; the plain errors come from a shape that they did not expect."""
    zeep_error, xml_error = load("zeep.exceptions", "soap").Error, load("lxml.etree", "soap").Error
    return (zeep_error, xml_error, ValueError, TypeError, AttributeError, LookupError, RecursionError)


def classify(error: BaseException, operation: str, *, sent: bool) -> AdapterError:
    """The outcome class of a failure of zeep, ``sent`` telling whether a byte of the request had left."""
    name = type(error).__name__
    if sent and isinstance(error, load("zeep.exceptions", "soap").Fault):
        return SoapFault(operation, str(getattr(error, "code", "") or ""), str(getattr(error, "message", "") or ""))
    if sent:
        return InvalidReply(f"{operation}: not an answer of this service: {name}")
    if name in _WSDL_TROUBLE or isinstance(error, load("lxml.etree", "soap").Error):
        return Misconfigured(f"{operation}: the WSDL does not fit: {name}")
    return NotSent(f"{operation}: the request does not fit the WSDL: {name}")


class SoapClient:
    """One service at one address, for many threads. Reading the WSDL takes a while and is done at the first call.

    ``wsdl`` is a file; ``url`` where the service really is, whatever the WSDL says; ``binding`` the qualified name
    ``{namespace}name`` where the WSDL has several (else its first).
    """

    def __init__(self, http: Http, wsdl: Path, url: str, *, binding: str = "") -> None:
        self._http, self._wsdl, self._url, self._binding = http, wsdl, url, binding
        self._lock = threading.Lock()
        self._service: Any = None
        self._call = threading.local()

    def call(
        self,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One call, sent once; its answer as dictionaries, lists and values. ``timeout`` in seconds.

        ``headers`` are HTTP's. Raises :class:`SoapFault`, ``NotSent`` and ``OutcomeUnknown`` as the HTTP client does,
        ``Misconfigured`` where the WSDL has no such operation, ``InvalidReply`` for what is not this service's answer.
        """
        service, before = self._ready(), wire.sends()
        self._call.timeout, self._call.headers = timeout, dict(headers or {})
        try:
            result = service[operation](**(arguments or {}))
            return load("zeep.helpers", "soap").serialize_object(result, dict)
        except AdapterError:
            raise
        except failures() as error:
            sent = wire.sends() > before
            if not sent and isinstance(error, AttributeError):
                raise Misconfigured(f"the WSDL has no operation {operation}") from None
            raise classify(error, operation, sent=sent) from None

    def _ready(self) -> Any:
        with self._lock:
            if self._service is None:
                try:
                    self._service = self._connect()
                except failures() as error:
                    raise Misconfigured(f"{self._wsdl.name} cannot be read: {type(error).__name__}: {error}") from None
            return self._service

    def _connect(self) -> Any:
        zeep = load("zeep", "soap")
        settings = zeep.Settings(strict=True, xml_huge_tree=False, forbid_dtd=True, forbid_entities=True)
        client = zeep.Client(str(self._wsdl), transport=_transport(self), settings=settings)
        binding = self._binding or next(iter(client.wsdl.bindings), None)
        if binding is None:
            raise Misconfigured(f"{self._wsdl.name} has no binding")
        return client.create_service(binding, self._url)

    def post(self, address: str, message: bytes, headers: Mapping[str, str]) -> requests.Response:
        """Send an envelope by the HTTP client; zeep calls this."""
        reply = self._http.send(
            "POST", address, data=message, headers={**headers, **self._call.headers}, timeout=self._call.timeout
        )
        response = requests.Response()
        response.status_code = reply.status
        response._content = reply.body
        response.headers.update(reply.headers)
        return response


def _transport(client: SoapClient) -> Any:
    """zeep's transport over the SDK's client, which knows whether a byte has left us; it reads local files alone."""
    base: Any = load("zeep.transports", "soap").Transport

    class Transport(base):  # type: ignore[misc]
        def post(self, address: str, message: bytes, headers: Mapping[str, str]) -> requests.Response:
            return client.post(address, message, headers)

        def load(self, url: str) -> bytes:
            path = Path(url)
            if not path.is_file():
                raise Misconfigured(f"the WSDL wants {url}, which must be a file beside it")
            return path.read_bytes()

    return Transport()
