"""What becomes of a reply on its way: halves, garbage, torn characters, an earlier reply, a fuzzer's bytes."""

from __future__ import annotations

import random

STATUS = "HTTP/1.1 {} {}\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>"
MOVED = "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_GARBAGE = b"<html>\xff\xfe\x00 502 \x81\r\n"


def spoilt(fault: str, reply: bytes, stale: bytes, seed: int) -> bytes:
    """What a fault makes of a reply; ``stale`` is an earlier one."""
    head, body = _split(reply)
    match fault:
        case "half":
            return head + body[: len(body) // 2]
        case "garbage":
            return head + (_GARBAGE * (len(body) // len(_GARBAGE) + 1))[: len(body)]
        case "half_character":
            return head + _torn(body)
        case "stale":
            return stale or reply[:1]
        case "status_after":
            return STATUS.format(502, "Bad Gateway").encode()
        case "mutate":
            return head + mutated(body, random.Random(seed))  # noqa: S311 - a repeatable choice
    return reply


def _split(reply: bytes) -> tuple[bytes, bytes]:
    """Head and body of an HTTP reply; of any other, nothing and all."""
    end = reply.find(b"\r\n\r\n") if reply.startswith(b"HTTP/") else -1
    return (reply[: end + 4], reply[end + 4 :]) if end >= 0 else (b"", reply)


def _torn(body: bytes) -> bytes:
    """The body with half of its first wide character overwritten, or its last byte if it has none."""
    at = next((i for i, byte in enumerate(body[:-1]) if byte >= 0x80), len(body) - 2)
    return body[: at + 1] + b"\xff" + body[at + 2 :] if body else body


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data`` with a few bytes changed, cut out, doubled or put in: what a fuzzer makes of it."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at : at + chance.randint(1, 8)]
            case 2:
                changed[at:at] = changed[at : at + chance.randint(1, 8)]
            case 3:
                changed[at:at] = chance.choice([b"\x00", b"\xff\xff", b"-", b"99999999999999999999", b'"', b"|", b"<"])
            case _:
                changed = changed[:at]
    return bytes(changed)
