"""Generated requests against a real server: ``python -m tests.api.fuzz [--seconds 300]``.

schemathesis reads the OpenAPI document, narrowed to what the shop of the tests has, so that many of its requests reach
the engine; it holds every reply against the document and follows its links. Exit status 0: nothing was found.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gateway.api.openapi import document
from tests.api.kit import PHONE, SHOPS, SKUS
from tests.api.server import Server, serving

#: What the fields of these names may be in the shop of the tests.
KNOWN: dict[str, list[str]] = {
    "store_id": ["s1", "s2"],
    "sku": list(SKUS),
    "merchant": [SHOPS[0]],
    "line_id": ["1", "2"],
}
#: A request that is right by the document may still ask for what there is not, or too much of it.
#: What a basket must have here, and what leads nowhere in a shop without rooms and bills.
SIMPLER: dict[str, tuple[set[str], set[str]]] = {
    "QuoteRequest": ({"store_id", "lines"}, {"source"}),
    "CheckoutRequest": (
        {"store_id", "lines", "tenders"},
        {"source", "quote_id", "points", "coupons", "expected_payable_amount"},
    ),
    "LineWanted": ({"sku"}, {"slot", "scale_label", "line_id", "unit_amount"}),
    "CashTender": (set(), {"amount"}),
    "PaymentCodeTender": (set(), {"amount"}),
}
#: Codes of the wallet: paid, asks for the password, declined, unknown and paid.
CODES = "^28[0-9]{12}(0001|9002|9011|9014)$"
_COUNTER = re.compile(
    r'gateway_http_requests_total{operation="(?P<operation>\w+)",status="(?P<status>\d+)"} (?P<count>[\d.e+]+)'
)
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "402", "403", "404", "409", "422"]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "414", "415", "422"]
"""


def narrowed() -> dict[str, Any]:
    """The document with the values that mean something here. Everything else is as it is served."""
    found = copy.deepcopy(document())
    schemas = found["components"]["schemas"]
    for schema in schemas.values():
        if schema.get("additionalProperties") is False:
            _narrow(schema.get("properties", {}))
    for name, (required, dropped) in SIMPLER.items():
        schemas[name]["required"] = sorted({*schemas[name].get("required", ()), *required})
        for field in dropped:
            del schemas[name]["properties"][field]
    schemas["PaymentCodeTender"]["properties"]["auth_code"]["pattern"] = CODES
    schemas["CheckoutRequest"]["properties"]["tenders"] |= {"minItems": 1, "maxItems": 1}
    schemas["CheckoutRequest"]["properties"]["order_no"]["pattern"] = "^[a-z0-9]{16}$"
    for operation in (operation for path in found["paths"].values() for operation in path.values()):
        # A feed that waits would use up the time.
        operation["parameters"] = [one for one in operation["parameters"] if one["name"] != "wait"]
        for parameter in operation["parameters"]:
            if parameter["name"] in ("merchant", "store_id"):
                parameter["schema"] = {"type": "string", "enum": KNOWN[parameter["name"]]}
    return found


def _narrow(properties: dict[str, Any]) -> None:
    for field in properties.keys() & KNOWN.keys():
        properties[field] = {"type": "string", "enum": KNOWN[field]}
    if properties.keys() == {"type", "value"}:
        properties["type"]["enum"], properties["value"]["enum"] = ["phone"], [PHONE, "13900000000"]


def run(server: Server, folder: Path, seconds: int, more: list[str]) -> int:
    """Run schemathesis for so long: half of it with anything, half with right requests only, which go deep."""
    (folder / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    wide, deep = ["--phases", "examples,coverage,fuzzing"], ["--mode", "positive", "--phases", "fuzzing,stateful"]
    found = [_run(server, folder, seconds // 2, [*wide, *more])]
    return max(*found, _run(server, folder, seconds // 2, [*deep, *more], fresh_keys=True))


def _fresh_keys(found: dict[str, Any]) -> dict[str, Any]:
    """Keys that hardly meet again: one used again is told what it was told, also when what it made is deleted since."""
    for operation in (operation for path in found["paths"].values() for operation in path.values()):
        for parameter in operation["parameters"]:
            if parameter["name"] == "Idempotency-Key":
                parameter["schema"] = {"type": "string", "pattern": "^[a-z0-9]{24}$"}
                parameter.pop("example", None)
    return found


def _run(server: Server, folder: Path, seconds: int, more: list[str], *, fresh_keys: bool = False) -> int:
    asked = _fresh_keys(narrowed()) if fresh_keys else narrowed()
    (folder / "openapi.json").write_text(json.dumps(asked), encoding="utf-8")
    program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml")]
    arguments = ["run", str(folder / "openapi.json"), "--url", f"http://127.0.0.1:{server.port}"]
    arguments += ["--max-time", str(seconds), "--header", f"Authorization: Bearer {server.key}"]
    arguments += ["--continue-on-failure", "--warnings", "off", "--suppress-health-check", "all"]
    done = subprocess.run([*program, *arguments, *more], cwd=folder, timeout=seconds * 2 + 240, check=False)
    return done.returncode


def answered(server: Server) -> str:
    """How often each operation was answered by each status: whether the requests went deep."""
    found: dict[str, dict[str, int]] = {}
    for line in server.ask("GET", "/metrics")[2].decode().splitlines():
        if (match := _COUNTER.match(line)) is not None:
            found.setdefault(match["operation"], {})[match["status"]] = int(float(match["count"]))
    return "\n".join(f"{name:22} {dict(sorted(statuses.items()))}" for name, statuses in sorted(found.items()))


def main() -> int:
    """Start a server, run, and say where its log is if something was found."""
    parser = argparse.ArgumentParser(description="Generated requests against a running server")
    parser.add_argument("--seconds", type=int, default=300)
    arguments, more = parser.parse_known_args()
    folder = Path(tempfile.mkdtemp(prefix="gateway-fuzz-"))
    with serving(folder) as server:
        status = run(server, folder, arguments.seconds, more)
        print(answered(server))
    if status:
        print(f"the server's log is {server.log}", file=sys.stderr)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
