"""Holds replies against the OpenAPI document: the status is documented, and nothing is sent that is not."""

from __future__ import annotations

import copy
import json
import re
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


class Contract:
    """The document, made strict: an object has the fields that are described and no others."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = copy.deepcopy(document)
        for schema in self.document["components"]["schemas"].values():
            if schema.get("properties"):
                schema.setdefault("additionalProperties", False)
        self.document["components"]["schemas"]["Problem"].pop("additionalProperties", None)
        self.seen: set[tuple[str, str, int]] = set()
        self._validators: dict[tuple[str, str, int, str], Draft202012Validator] = {}

    @cached_property
    def _registry(self) -> Registry[Any]:
        return Registry().with_resource("urn:api", Resource(self.document, DRAFT202012))

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], str]]:
        found = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + r"\Z"), path) for path in self.document["paths"]]
        return sorted(found, key=lambda pair: pair[1].count("{"))

    def template(self, path: str) -> str | None:
        """The documented path of an address."""
        return next((template for pattern, template in self._paths if pattern.match(path)), None)

    def check(self, method: str, path: str, status: int, content_type: str, body: bytes) -> None:
        """Fail if the reply is not as documented; what is not in the document at all is passed over."""
        template = self.template(path)
        operation = self.document["paths"].get(template, {}).get(method.lower()) if template else None
        if template is None or operation is None or content_type.startswith("text/"):
            return
        assert str(status) in operation["responses"], f"{method} {template}: {status} is not documented: {body[:500]!r}"
        self.seen.add((method, template, status))
        errors = list(self._validator(template, method, status, content_type).iter_errors(json.loads(body)))
        told = [f"{list(error.absolute_path)}: {error.message[:300]}" for error in errors]
        assert not told, f"{method} {template} {status}: {told}"

    def _validator(self, template: str, method: str, status: int, content_type: str) -> Draft202012Validator:
        key = (template, method, status, content_type)
        if key not in self._validators:
            parts = ("paths", template, method.lower(), "responses", str(status), "content", content_type, "schema")
            pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)
            schema = {"$ref": f"urn:api#/{pointer}"}
            self._validators[key] = Draft202012Validator(schema, registry=self._registry)
        return self._validators[key]
