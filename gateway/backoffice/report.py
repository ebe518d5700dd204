"""What a shopkeeper reads in the evening: does every book agree, and who gets what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway.backoffice.ours import Unit
from gateway.backoffice.result import Class, Difference, Result
from gateway.backoffice.settle import Party, Statement
from gateway.backoffice.table import cut, table, yuan
from gateway.backoffice.words import BOOKS, CLASSES, KINDS, PARTIES, both

Echo = Callable[[str], object]

#: As much of a text of theirs as a line has room for.
DETAIL_COLUMNS = 60
#: Statements that do not count money.
_PLAIN = ("points_statement",)


def print_reconciliation(results: Iterable[Result], echo: Echo) -> None:
    """One line a book, then every difference, then what is still awaited. Money in yuan."""
    found = list(results)
    if not found:
        echo("没有可对账的系统  no system here gives a statement")
        return
    first = found[0]
    echo(f"对账 Reconciliation  {first.merchant}  {first.business_date.isoformat()}")
    head = ("账本 book", "系统 system", "笔数 n", "我方 ours", "对方 theirs", "手续费 fees", "结果 result")
    for line in table(head, map(_line, found), figures=(2, 3, 4, 5)):
        echo(line)
    _differences([(result, each) for result in found for each in result.differences], "差异 Differences", echo)
    _differences([(result, each) for result in found for each in result.pending], "待入账 Not there yet", echo)
    _beside(found, echo)
    echo(f"  证据链 audit head {first.audit_head}")
    echo("")


def _line(result: Result) -> tuple[str, ...]:
    return (
        both(BOOKS[result.hook]),
        f"{result.connection} ({result.adapter})",
        str(result.operations),
        _sum(result, result.our_amount),
        "—" if result.unavailable else _sum(result, result.their_amount),
        yuan(result.fee_amount) if result.fee_amount else "",
        _verdict(result),
    )


def _verdict(result: Result) -> str:
    if result.unavailable:
        return f"✗ 无账单 no statement: {cut(result.unavailable, DETAIL_COLUMNS)}"
    if result.differences:
        named = (f"{CLASSES[cls][0]} {cls.value} {count}" for cls in Class if (count := _differing(result, cls)))
        return f"✗ {', '.join(named)}"
    if result.pending:
        return f"… 相符 {result.matched}, 待入账 pending {len(result.pending)}"
    return f"✓ 相符 matched {result.matched}"


def _differing(result: Result, cls: Class) -> int:
    return 0 if cls is Class.MATCHED else result.counts[cls]


def _sum(result: Result, amount: int) -> str:
    return f"{amount:,}" if result.hook in _PLAIN or result.unit is Unit.COUNT else yuan(amount)


def _differences(found: Sequence[tuple[Result, Difference]], title: str, echo: Echo) -> None:
    if not found:
        return
    echo("")
    echo(title)
    head = ("类别 class", "系统 system", "单号 order", "对方号 their no.", "我方 ours", "对方 theirs", "说明 detail")
    rows = (
        (
            both((CLASSES[each.cls][0], each.cls.value)),
            result.connection,
            each.order_no or "—",
            cut(each.ref, 28) or "—",
            _sum(result, each.ours),
            _sum(result, each.theirs),
            cut(each.detail, DETAIL_COLUMNS),
        )
        for result, each in found
    )
    for line in table(head, rows, figures=(4, 5)):
        echo(line)


def _beside(found: list[Result], echo: Echo) -> None:
    """What is in their books and no difference."""
    for result in found:
        if result.explained:
            echo(
                f"  {result.connection}: {result.explained} 行优惠或积分 rows for discounts and points,"
                f" {_sum(result, result.explained_amount)}"
            )
        if result.others:
            others = _sum(result, result.others_amount)
            echo(f"  {result.connection}: {result.others} 行非本网关 rows of others, {others}")


def print_settlement(statement: Statement, echo: Echo) -> None:
    """One line a party: what it sold, bore, was deducted, and what is due to it. Money in yuan."""
    echo(f"结算 Settlement  {statement.merchant_name} ({statement.merchant})  {statement.business_date.isoformat()}")
    if statement.parties:
        kinds = _kinds(statement.parties)
        head = ("结算方 party", *(both(KINDS.get(kind, (kind, ""))).strip() for kind in kinds), "应结 due")
        rows = [
            (_name(party), *(_amount(party, kind) for kind in kinds), yuan(party.due)) for party in statement.parties
        ]
        rows.append(
            ("合计 total", *(yuan(_total(statement.parties, kind)) for kind in kinds), yuan(statement.entries_amount))
        )
        for line in table(head, rows, figures=range(1, len(head))):
            echo(line)
    echo(
        f"  {statement.checkouts} 笔销售 sales {yuan(statement.sold_amount)},"
        f" {statement.refunds} 笔退款 refunds {yuan(statement.refunded_amount)},"
        f" 净额 net {yuan(statement.expected_amount)}"
    )
    if statement.balanced:
        echo("  ✓ 分录合计与净额一致 the entries come to what was paid")
    else:
        echo(f"  ✗ 不平 the entries are off by {yuan(statement.difference_amount)}")
        for gap in statement.gaps:
            told = f"{yuan(gap.entries_amount)} instead of {yuan(gap.expected_amount)}"
            echo(f"    {gap.subject} {gap.number}: {told}")
    echo(f"  证据链 audit head {statement.audit_head}")
    echo("")


def _kinds(parties: Iterable[Party]) -> list[str]:
    """The kinds that occur, the known ones first."""
    found = {kind for party in parties for kind in party.kinds}
    return [*(kind for kind in KINDS if kind in found), *sorted(found - set(KINDS))]


def _name(party: Party) -> str:
    kind, _, number = party.party.partition(":")
    if party.name:
        return f"{number} {party.name} {party.name_en}".rstrip()
    return both(PARTIES[kind]) if kind in PARTIES and not number else party.party


def _amount(party: Party, kind: str) -> str:
    return yuan(party.kinds[kind]) if kind in party.kinds else ""


def _total(parties: Iterable[Party], kind: str) -> int:
    return sum(party.kinds.get(kind, 0) for party in parties)
