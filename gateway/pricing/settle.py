"""Who bears what and who gets what: funding of each discount, settlement by party, commission of the guides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.domain.money import FULL_RATE_BP, half_up, largest_remainder, price_at
from gateway.pricing.model import Basket, Contract, Guide, Line

MALL: Final = "mall"
ACQUIRER: Final = "acquirer"
NOT_ACQUIRED: Final = frozenset({"cash", "stored_value", "red_envelope", "gift_card", "voucher", "on_account"})
MERCHANT: Final = (("merchant", FULL_RATE_BP),)

Funding = tuple[tuple[str, int], ...]


def shares_of(basket: Basket, line: Line, funding: Funding) -> Funding:
    """Who bears a discount on this line: the counter's contract, else what the benefit says."""
    counter = line.counter_id
    if counter is None:
        return funding
    contract = basket.contracts.get(counter)
    if contract is not None and contract.promotion_share_bp is not None:
        share = contract.promotion_share_bp
        return ((f"counter:{counter}", share), (MALL, FULL_RATE_BP - share))
    return tuple((f"counter:{counter}" if party == "counter" else party, share) for party, share in funding)


def fund(amount: int, shares: Funding) -> list[tuple[str, int]]:
    """Split an amount in the order given, half-up each; the mall, else the last, takes the rest."""
    if len(shares) == 1:
        return [(shares[0][0], amount)]
    ordered = sorted(shares, key=lambda share: share[0] == MALL)
    left = amount
    parts = []
    for party, share in ordered[:-1]:
        part = min(left, price_at(amount, share))
        parts.append((party, part))
        left -= part
    parts.append((ordered[-1][0], left))
    return [part for part in parts if part[1]]


@dataclass(slots=True)
class Sale:
    """One line as settlement sees it: whose it is, its net, what was paid for it, and who bore its discounts."""

    counter: str | None
    net: int
    paid: int
    borne: dict[str, int] = field(default_factory=dict)


def _entry(party: str, kind: str, basis: int, amount: int) -> dict[str, Any]:
    return {"party": party, "kind": kind, "basis_amount": basis, "amount": amount}


def acquirer_fee(basket_bp: int, payable: int, tenders: Sequence[tuple[str, int]]) -> int:
    """The acquirer's fee, once a payment; (method, amount) of each tender, or none when nobody said how it is paid."""
    if not basket_bp:
        return 0
    if not tenders:
        return price_at(payable, basket_bp)
    return sum(price_at(amount, basket_bp) for method, amount in tenders if method not in NOT_ACQUIRED)


def settle(sales: Sequence[Sale], contracts: Mapping[str, Contract], payable: int, fee: int) -> list[dict[str, Any]]:
    """The entries of every party, each signed as the party sees it; all but `due` add up to the payable amount.

    A counter without a contract is the mall's own. Fees, points and rounding are the mall's.
    """
    counters: dict[str, Sale] = {}
    for sale in sales:
        if sale.counter is not None and sale.counter in contracts:
            whole = counters.setdefault(sale.counter, Sale(sale.counter, 0, 0))
            whole.net += sale.net
            whole.paid += sale.paid
            for party, amount in sale.borne.items():
                whole.borne[party] = whole.borne.get(party, 0) + amount
    entries: list[dict[str, Any]] = []
    fees = _fee_shares(list(counters.values()), payable, fee)
    for whole, part in zip(counters.values(), fees, strict=False):
        _settle_counter(whole, contracts[whole.counter or ""], part, entries)
    own = payable - sum(whole.net for whole in counters.values())
    if own or not counters:
        entries.append(_entry(MALL, "sale", own, own))
    if fees and fees[-1]:
        entries.append(_entry(MALL, "acquirer_fee", payable - sum(w.paid for w in counters.values()), -fees[-1]))
    if fee:
        entries.append(_entry(ACQUIRER, "acquirer_fee", payable, fee))
    merged = _merged(entries)
    return merged + dues(merged)


def _merged(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each party and kind."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        first = found.setdefault((entry["party"], entry["kind"]), entry)
        if first is not entry:
            first["basis_amount"] += entry["basis_amount"]
            first["amount"] += entry["amount"]
    return list(found.values())


def _fee_shares(counters: list[Sale], payable: int, fee: int) -> list[int]:
    """The fee by counter, the mall's own last."""
    paid = [max(0, whole.paid) for whole in counters]
    rest = max(0, payable - sum(paid))
    if not fee or not (sum(paid) + rest):
        return [0] * (len(paid) + 1)
    return largest_remainder(fee, [*paid, rest])


def _settle_counter(whole: Sale, contract: Contract, fee: int, entries: list[dict[str, Any]]) -> None:
    party = f"counter:{whole.counter}"
    entries.append(_entry(party, "sale", whole.net, whole.net))
    basis = whole.net
    for bearer, amount in whole.borne.items():
        if bearer == party or not amount:
            continue
        who = MALL if bearer == "merchant" else bearer
        entries.append(_entry(party, "promo_cost", amount, amount))
        entries.append(_entry(who, "promo_cost", amount, -amount))
        basis += amount
    deduction = max(half_up(basis * contract.deduction_bp, FULL_RATE_BP), contract.guarantee_amount)
    entries.append(_entry(party, "deduction", basis, -deduction))
    entries.append(_entry(MALL, "deduction", basis, deduction))
    if fee:
        entries.append(_entry(party, "acquirer_fee", whole.paid, -fee))


def dues(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each party's total."""
    totals: dict[str, int] = {}
    for entry in entries:
        totals[entry["party"]] = totals.get(entry["party"], 0) + entry["amount"]
    return [_entry(party, "due", total, total) for party, total in totals.items()]


def commission(guides: Sequence[Guide], nets: Sequence[tuple[str | None, int]]) -> list[dict[str, Any]]:
    """One half-up sum over all guides, split by largest remainder; a guide named by lines earns on those, else on
    all."""
    if not guides:
        return []
    named: dict[str, int] = {}
    for guide_id, net in nets:
        if guide_id is not None:
            named[guide_id] = named.get(guide_id, 0) + net
    whole = sum(net for _, net in nets)
    weights = [max(0, named.get(guide.guide_id, whole)) * guide.share_bp * guide.commission_bp for guide in guides]
    total = half_up(sum(weights), FULL_RATE_BP * FULL_RATE_BP)
    parts = largest_remainder(total, weights) if total else [0] * len(guides)
    return [{"guide_id": guide.guide_id, "amount": part} for guide, part in zip(guides, parts, strict=True)]
