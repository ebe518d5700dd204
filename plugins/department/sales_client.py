"""The SOAP client of ``sales.asmx``: zeep on the WSDL kept here, over the SDK's pooled HTTP client."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import requests

from gateway.sdk import Http, InvalidReply, Misconfigured, OutcomeUnknown
from plugins.department.protocol_sales import NAMESPACE

WSDL = Path(__file__).parent / "wsdl" / "sales.wsdl"
_BINDING = f"{{{NAMESPACE}}}salesSoap"
_CONSTANT_HEADER = {"lang": "", "messagetype": "SALESDATA", "messageid": "332", "version": "V332M"}
_SYSTEM_FAILURE = -100
WRONG_CREDENTIALS = "用户名或密码错误"


@dataclass(frozen=True, slots=True)
class SalesReply:
    """A reply: ``code`` 0 done or -1 refused, the server's own words, and the rest of the answer by field name."""

    code: int
    message: str
    result: Any

    def text(self, name: str) -> str:
        """A field of the answer as text; absent or empty is ``""``."""
        value = getattr(self.result, name, None)
        return "" if value is None else str(value)


class SalesClient:
    """Calls one server with one identity. Built lazily: reading the WSDL takes some time."""

    def __init__(self, http: Http, url: str, credentials: Mapping[str, str]) -> None:
        self._http, self._url = http, url
        self._header = {**_CONSTANT_HEADER, **credentials}
        self._lock = threading.Lock()
        self._service: Any = None
        self._timeout = threading.local()

    def call(self, operation: str, request: Mapping[str, Any] | None, timeout: float) -> SalesReply:
        """One call. Raises ``NotSent`` or ``OutcomeUnknown`` as the HTTP client does, ``InvalidReply`` for an answer
        that is not SOAP, ``OutcomeUnknown`` for -100 (the server failed, nobody knows where), ``Misconfigured`` when
        it refuses our identity."""
        service = self._ready()
        self._timeout.seconds = timeout
        arguments = {} if request is None else {"astr_request": {"header": self._header, **request}}
        try:
            result = getattr(service, operation)(**arguments)
            code, message = int(result.header.responsecode), str(result.header.responsemessage or "")
        except _soap_errors() as error:
            raise InvalidReply(f"{operation}: not the answer of sales.asmx: {type(error).__name__}") from None
        if code == _SYSTEM_FAILURE:
            raise OutcomeUnknown(f"{operation}: the server failed: {message}")
        if code == -1 and message == WRONG_CREDENTIALS:
            raise Misconfigured("the server refuses user, password or license")
        return SalesReply(code, message, result)

    def _ready(self) -> Any:
        with self._lock:
            if self._service is None:
                self._service = self._connect()
            return self._service

    def _connect(self) -> Any:
        zeep: Any = import_module("zeep")  # 0.3 s to import, and only this adapter needs it
        base: Any = import_module("zeep.transports").Transport
        client = self

        class PooledTransport(base):  # type: ignore[misc]
            """Posts through the SDK's client, which knows whether a byte has left us, and reads only local WSDL."""

            def post(self, address: str, message: bytes, headers: Mapping[str, str]) -> requests.Response:
                return client._post(address, message, headers)

            def load(self, url: str) -> bytes:
                return Path(url).read_bytes()

        settings = zeep.Settings(strict=True, xml_huge_tree=False, forbid_dtd=True, forbid_entities=True)
        return zeep.Client(str(WSDL), transport=PooledTransport(), settings=settings).create_service(
            _BINDING, self._url
        )

    def _post(self, address: str, message: bytes, headers: Mapping[str, str]) -> requests.Response:
        reply = self._http.send("POST", address, data=message, headers=headers, timeout=self._timeout.seconds)
        response = requests.Response()
        response.status_code = reply.status
        response._content = reply.body
        response.headers.update(reply.headers)
        return response


def _soap_errors() -> tuple[type[Exception], ...]:
    """What zeep and lxml raise for an answer that is none; the plain errors come from a shape they did not expect."""
    zeep_error, xml_error = import_module("zeep.exceptions").Error, import_module("lxml.etree").LxmlError
    return (zeep_error, xml_error, ValueError, TypeError, AttributeError, LookupError)
