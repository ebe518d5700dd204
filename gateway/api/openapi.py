"""The OpenAPI 3.1 document, made of the records of the operations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

import gateway
from gateway.api.operation import OPERATIONS, Operation
from gateway.engine.problems import PROBLEMS
from schemas import basket, tenders
from schemas.fields import Request
from schemas.problems import Problem

#: What every operation may be answered by.
ALWAYS = (
    "invalid-credentials",
    "key-revoked",
    "invalid-signature",
    "signature-expired",
    "replayed-request",
    "insufficient-scope",
    "rate-limited",
    "internal-error",
    "storage-busy",
)
_WITH_BODY = (
    "malformed-json",
    "body-too-large",
    "unsupported-media-type",
    "unsupported-encoding",
    "validation-error",
    "unknown-field",
    "card-data-rejected",
)
_CHANGE = ("idempotency-key-missing", "idempotency-key-invalid", "idempotency-key-reused", "request-in-progress")
_WORK = ("adapter-unavailable", "storage-full")
_PARAMETER = re.compile(r"<(\w+)>")
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "new for each request, the same when it is sent again; printable ASCII without a comma",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-+\\--~]([ -+\\--~]*[!-+\\--~])?$"},
}
#: What a reply's id leads to: operation → operation → the parameter that takes the id.
LINKS = {
    "create_checkout": {
        "read_checkout": "checkout_id",
        "add_tender": "checkout_id",
        "cancel_checkout": "checkout_id",
        "preview_refund": "checkout_id",
        "create_refund": "checkout_id",
    },
    "create_refund": {"read_refund": "refund_id"},
    "create_deposit": {"read_deposit": "deposit_id", "release_deposit": "deposit_id"},
    "create_webhook_endpoint": {
        "read_webhook_endpoint": "endpoint_id",
        "rotate_webhook_secret": "endpoint_id",
    },
}
INFO = """One call settles a checkout: member price, coupons, points, money, stock or room and the bill in the till.

Money is in minor units (fen). Times have an offset. Errors are RFC 9457 problems; `type` is a page that explains them.
Every change needs an `Idempotency-Key`; the same key gives the same reply again, byte for byte."""


class _Naming:
    """Names components by their schema's class; two classes of one name are told apart by their module."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, schema: Any) -> str:
        found = schema if isinstance(schema, type) else type(schema)
        name, place = found.__name__, f"{found.__module__}.{found.__qualname__}"
        if self._names.setdefault(name, place) == place:
            return name
        return f"{found.__module__.rpartition('.')[2].capitalize()}{name}"


def document() -> dict[str, Any]:
    """The OpenAPI document of every operation that is registered."""
    plugin = MarshmallowPlugin(schema_name_resolver=_Naming())
    spec = APISpec(
        title="Merchant integration gateway",
        version=gateway.__version__,
        openapi_version="3.1.0",
        info={"description": INFO, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        servers=[{"url": "/"}],
        security=[{"key": []}],
        plugins=[plugin],
    )
    assert plugin.converter is not None
    _teach(plugin.converter, spec)
    scheme = {"type": "http", "scheme": "bearer", "description": "a key of this gateway: `gwk_…`"}
    spec.components.security_scheme("key", scheme)
    spec.components.schema("Problem", schema=Problem)
    for operation in OPERATIONS:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        spec.path(path=path, operations={operation.method.lower(): _of(operation, plugin.converter)})
    made: dict[str, Any] = spec.to_dict()
    return made


def _teach(converter: OpenAPIConverter, spec: APISpec) -> None:
    """Say how the fields of our own look in the document."""

    def ours(_: OpenAPIConverter, field: fields.Field[Any], **kwargs: Any) -> dict[str, Any]:
        if isinstance(field, tenders.TenderField):
            return _one_of(converter, field.family)
        if isinstance(field, basket.CouponChoice):
            codes = converter.field2property(field.codes)
            return {"oneOf": [{"type": "string", "const": "auto"}, {**codes, "uniqueItems": True}]}
        return {}

    converter.add_attribute_function(ours)  # type: ignore[no-untyped-call]


def _one_of(converter: OpenAPIConverter, family: dict[str, Request]) -> dict[str, Any]:
    resolve: Callable[[Schema], dict[str, str]] = converter.resolve_nested_schema
    found = {method: resolve(schema) for method, schema in family.items()}
    mapping = {method: reference["$ref"] for method, reference in found.items()}
    return {"oneOf": list(found.values()), "discriminator": {"propertyName": "method", "mapping": mapping}}


def _of(operation: Operation, converter: OpenAPIConverter) -> dict[str, Any]:
    summary, _, description = (operation.view.__doc__ or "").partition("\n")
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": summary.strip(),
        "description": " ".join(description.split()),
        "tags": [operation.view.__module__.rpartition(".")[2]],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "x-scopes": list(operation.scopes),
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": _body(operation.body, converter)}
    return found


def _body(body: type[Request], converter: OpenAPIConverter) -> dict[str, Any]:
    # The body of AddTender is its field itself.
    schema = _one_of(converter, tenders.FULL) if body is tenders.AddTender else body
    return {"application/json": {"schema": schema, **({"example": body.example} if body.example else {})}}


def _json(schema: type[Schema]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _parameters(operation: Operation) -> list[Any]:
    path: list[Any] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(operation.path)
    ]
    if operation.idempotent:
        path.append(_KEY)
    if operation.query is not None:
        path.append({"in": "query", "schema": operation.query})
    return path


def slugs_of(operation: Operation) -> tuple[str, ...]:
    """Every problem that an operation may be answered by."""
    found = [*ALWAYS, *operation.problems, "validation-error", "unknown-field"]
    if _PARAMETER.search(operation.path):
        found.append("not-found")
    if operation.method != "GET":
        found += _WITH_BODY
    if operation.idempotent:
        found += [*_CHANGE, *_WORK]
    return tuple(dict.fromkeys(found))


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, schema in operation.returns.items():
        found[str(status)] = {
            "description": _MEANS[status],
            "content": _json(schema),
            "headers": _headers(status),
            "links": _links(operation),
        }
    by_status: dict[int, list[str]] = {}
    for slug in slugs_of(operation):
        by_status.setdefault(PROBLEMS[slug][0], []).append(slug)
    for status, slugs in sorted(by_status.items()):
        found[str(status)] = {
            "description": ", ".join(f"[{slug}](/problems/{slug})" for slug in slugs),
            "content": {"application/problem+json": {"schema": Problem}},
        }
    if operation.query is not None:
        found["414"] = {"description": "The address is longer than the server takes; it says so by itself."}
    return found


_MEANS = {200: "As asked.", 201: "Done.", 202: "Not known yet: read `Location` again later."}


def _headers(status: int) -> dict[str, Any]:
    location = {"Location": {"description": "the resource", "schema": {"type": "string"}}}
    return location if status in (201, 202) else {}


def _links(operation: Operation) -> dict[str, Any]:
    """Where the id in the reply leads."""
    merchant = {"merchant": "$request.path.merchant"} if operation.tenant else {}
    return {
        target: {"operationId": target, "parameters": {**merchant, name: "$response.body#/id"}}
        for target, name in LINKS.get(operation.id, {}).items()
    }
