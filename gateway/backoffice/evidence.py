"""The evidence of one checkout as text, for a person who has to explain it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

#: (English, Chinese)
WORDS = {
    "checkout": ("Checkout", "结账"),
    "refund": ("Refund", "退款"),
    "deposit": ("Deposit", "押金"),
    "release": ("Release", "退押"),
    "zone": ("times in", "时区"),
    "send": ("sent", "发送"),
    "query": ("asked", "查询"),
    "sent": ("→", "→"),
    "received": ("←", "←"),
    "done": ("done", "成功"),
    "declined": ("declined", "拒绝"),
    "pending": ("pending", "处理中"),
    "not_found": ("not found", "查无此单"),
    "not_sent": ("not sent", "未发出"),
    "unknown": ("unknown", "结果未知"),
    "plugin_error": ("plugin error", "插件错误"),
    "misconfigured": ("misconfigured", "配置错误"),
    "not_supported": ("not supported", "不支持"),
    "under_way": ("under way", "进行中"),
    "late": ("came late", "迟到的报文"),
    "slot": ("slot", "时段"),
    "returned": ("free again", "已释放"),
    "returning": ("being freed", "释放中"),
    "booked": ("stays booked", "仍占用"),
    "begun": ("it has begun", "已开始"),
    "not_wanted": ("it was not to be freed", "未要求释放"),
    "unsupported": ("its system cannot free it", "对方系统不支持释放"),
    "refused": ("its system refused", "对方系统拒绝"),
    "event": ("event", "事件"),
    "message": ("message", "消息"),
    "task": ("case", "待办"),
    "act": ("person", "人工"),
    "open": ("open", "未结"),
    "resolved": ("resolved", "已结"),
    "attempt": ("attempt", "第几次"),
    "unrecorded": ("attempts without a note: the worker died", "次尝试无记录:工作进程已中断"),
    "inside": ("in the gateway's own database", "网关自身数据库内"),
    "head": ("Head of the chain of evidence", "证据链头"),
}


def told(found: dict[str, Any], zone: ZoneInfo, lang: str) -> Iterator[str]:
    """The timeline as lines of text."""
    column = 1 if lang == "zh" else 0

    def word(name: str) -> str:
        return WORDS.get(name, (name, name))[column]

    yield f"{found['merchant']}  {found['order_no']}  {word('zone')} {zone.key}"
    for part in found["parts"]:
        yield f"\n{word(part['kind'])} {part['id']}  {part['number']}  {_yuan(part['amount'])}  {part['status']}"
        for leg in part["legs"]:
            yield f"  {leg['name']}  {leg['connection']} ({leg['adapter']})"
            for operation in leg["operations"]:
                yield from _operation(operation, zone, word)
        for slot in part["slots"]:
            yield _slot(slot, zone, word)
        for message in part["messages"]:
            yield f"  {word('message')} {message['template']}  {message['connection']}  {message['event']}"
            yield from _operation({**message, "hook": "message_send", "unrecorded": 0}, zone, word)
        yield from _beside(part, zone, word)
    yield f"\n{word('head')} {found['audit_head']}"


def _operation(operation: dict[str, Any], zone: ZoneInfo, word: Any) -> Iterator[str]:
    yield f"    {operation['hook']}  {operation['key']}  {operation['status']}"
    for attempt in operation["attempts"]:
        took = "" if attempt["took_ms"] is None else f"{attempt['took_ms']:.1f} ms"
        said = " ".join(f"{name}={value}" for name, value in attempt["said"].items() if value not in ("", None))
        head = f"{_time(attempt['began_at'], zone)} {word(attempt['verb'])} {attempt['number']}"
        yield f"      {head}  {took}  {word(attempt['outcome'])}  {said}".rstrip()
        for frame in attempt["frames"]:
            yield from _frame(frame, word)
    if operation["unrecorded"]:
        yield f"      {operation['unrecorded']} {word('unrecorded')}"


def _slot(slot: dict[str, Any], zone: ZoneInfo, word: Any) -> str:
    """What became of one room, seat or appointment in a refund."""
    window = f"{_time(slot['from'], zone)} – {_time(slot['to'], zone)}"
    reason = f": {word(slot['reason'])}" if "reason" in slot else ""
    return f"  {word('slot')} {slot['line_id']}  {slot['resource_id']}  {window}  {word(slot['status'])}{reason}"


def _frame(frame: dict[str, Any], word: Any) -> Iterator[str]:
    if "left_out" in frame:
        yield f"        … {frame['left_out']}"
        return
    head = f"{word(frame['direction'])} +{frame['ms']:.1f} ms  {frame['size']} B  {frame.get('head', '')}"
    yield f"        {head}".rstrip()
    for line in frame["text"].splitlines():
        yield f"          {_printable(line)}"


def _beside(part: dict[str, Any], zone: ZoneInfo, word: Any) -> Iterator[str]:
    """Events, cases and people's acts, in the order of time."""
    lines = [(each["occurred_at"], f"{word('event')}  {each['type']}  {each['id']}") for each in part["events"]]
    for task in part["tasks"]:
        state = word(task["status"])
        lines.append((task["opened_at"], f"{word('task')}  {task['kind']} {task['leg']}  {state}  {task['detail']}"))
    for act in part["acts"]:
        said = " ".join(f"{name}={value}" for name, value in act["said"].items() if isinstance(value, str))
        lines.append((act["at"], f"{word('act')}  {act['who']}  {act['kind']}  {said}"))
    for at, text in sorted(lines):
        yield f"  {_time(at, zone)}  {_printable(text)}"


def _time(text: str, zone: ZoneInfo) -> str:
    return datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _yuan(amount: int) -> str:
    return f"{amount // 100}.{amount % 100:02d}"


def _printable(text: str) -> str:
    """A far system's words must not move a terminal's cursor."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
