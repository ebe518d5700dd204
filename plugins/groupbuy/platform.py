"""The platform's calls with this connection's settings: shops, operator, deadlines, typed answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gateway.sdk import (
    Call,
    Context,
    Declined,
    DeclineReason,
    InvalidReply,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    Site,
)
from plugins.groupbuy import mapping
from plugins.groupbuy.client import PlatformClient, parsed
from plugins.groupbuy.plan import Plan
from plugins.groupbuy.protocol import (
    OK,
    Certificate,
    Prepared,
    Record,
    Reply,
    is_code,
    read_certificates,
    read_pois,
    read_prepared,
    read_records,
)

TRIES = 3
PAGE = 20
MOST_PAGES = 2000


class Platform:
    """One connection's view of the platform. ``until`` is when the caller stops waiting."""

    def __init__(self, context: Context) -> None:
        self.settings, self.clock = context.settings, context.clock
        self._client = PlatformClient(
            context.http,
            self.settings["base_url"],
            self.settings["client_key"],
            self.settings["client_secret"],
            context.clock,
        )

    def shops(self, until: datetime) -> dict[str, str]:
        """The shops that this account may redeem for."""
        return parsed(read_pois, self._get("/v1/shop/poi/query", {}, until))

    def poi(self, store_id: str) -> str:
        """The platform's shop of a store; without a store the only one there is."""
        pois: Mapping[str, str] = self.settings["poi_ids"]
        if store_id in pois:
            return pois[store_id]
        if not store_id and len(set(pois.values())) == 1:
            return next(iter(pois.values()))
        raise Misconfigured(f"poi_ids has no shop for store {store_id!r}")

    def pois(self) -> list[str]:
        """All shops of this connection."""
        return sorted(set(self.settings["poi_ids"].values()))

    def prepare(self, code: str, store_id: str, until: datetime) -> Prepared | Declined:
        """Look at a code: typed digits as they are, a short link by the object it leads to. Changes nothing."""
        poi = self.poi(store_id)
        if is_code(code):
            shown = {"code": code}
        elif code.startswith(("http://", "https://")):
            hosts = list(self.settings["short_link_hosts"])
            shown = {"encrypted_data": self._client.object_id(code, hosts, timeout=self._time(until))}
        else:
            return Declined(reason=DeclineReason.COUPON_UNKNOWN, message="neither a code nor a short link")
        reply = self._get("/v1/certificate/prepare", shown | {"poi_id": poi}, until)
        return parsed(read_prepared, reply) if reply.code == OK else mapping.refused(reply, mapping.PREPARE_DECLINES)

    def verify(self, plan: Plan, site: Site, call: Call) -> Reply:
        """Redeem; while that is unknown it is repeated with the same token, as the platform asks for."""
        fields = {
            "verify_token": plan.verify_token,
            "poi_id": plan.poi_id,
            "encrypted_codes": list(plan.encrypted_codes),
            "operator": self._operator(site, plan.key),
        }
        return self._insist("/v1/certificate/verify", fields, call)

    def cancel(self, verify_id: str, certificate_ids: list[str], token: str, site: Site, call: Call) -> Reply:
        """Take a whole redemption back; the same token does it once, however often it is sent."""
        fields = {
            "verify_id": verify_id,
            "certificate_ids": certificate_ids,
            "count": len(certificate_ids),
            "cancel_token": token,
            "operator": self._operator(site, token),
        }
        return self._insist("/v1/certificate/cancel", fields, call)

    def order(self, order_id: str, until: datetime) -> tuple[Certificate, ...]:
        """All certificates of an order, whatever became of them."""
        reply = self._get("/v1/certificate/query", {"order_id": order_id}, until)
        if reply.code != OK:
            raise OutcomeUnknown(f"the order can't be looked at: {reply.code} {reply.message}")
        certificates = parsed(read_certificates, reply)
        if not certificates or any(item.order_id != order_id for item in certificates):
            raise InvalidReply("the certificates are another order's")
        return certificates

    def history(self, begin: datetime, end: datetime, pois: list[str], until: datetime) -> list[Record]:
        """The redemptions made in ``[begin, end)`` at these shops, the cancelled ones too; at most 31 days."""
        asked = {"poi_ids": ",".join(pois), "size": PAGE}
        asked |= {"start_time": int(begin.timestamp()), "end_time": int(end.timestamp())}
        records: list[Record] = []
        cursor = "0"
        for _ in range(MOST_PAGES):
            reply = self._get("/v1/verify_record/query", asked | {"cursor": cursor}, until)
            if reply.code != OK:
                raise OutcomeUnknown(f"the history is refused: {reply.code} {reply.message}")
            page, cursor = parsed(read_records, reply)
            records += page
            if not cursor:
                return records
        raise OutcomeUnknown("the history has no end")

    def _get(self, path: str, fields: Mapping[str, Any], until: datetime) -> Reply:
        return self._client.get(path, fields, timeout=self._time(until))

    def _insist(self, path: str, fields: Mapping[str, Any], call: Call) -> Reply:
        """Send what may be sent again, until there is an answer or no time left for another try."""
        pause = float(self.settings["retry_after_s"])
        trouble: OutcomeUnknown | None = None
        for attempt in range(TRIES):
            try:
                return self._client.post(path, fields, timeout=self._time(call.deadline))
            except NotSent as error:
                raise trouble or error from None  # an earlier try may have arrived
            except OutcomeUnknown as error:
                trouble = error
                if attempt + 1 == TRIES or call.remaining(self.clock()) < 2 * pause + 0.5:
                    raise
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _operator(self, site: Site, device: str) -> dict[str, str]:
        """Who redeems: one account for the gateway, the cashier by name, our key as the device."""
        name = site.cashier_id or self.settings["operator_name"]
        return {"account": self.settings["operator_account"], "name": name, "device": device}

    def within(self, setting: str) -> datetime:
        """The deadline of a hook that is given none."""
        return self.clock() + timedelta(seconds=float(self.settings[setting]))

    def _time(self, until: datetime) -> float:
        """Seconds for one message."""
        return min(float(self.settings["timeout_s"]), (until - self.clock()).total_seconds())
