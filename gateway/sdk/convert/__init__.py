"""Values of old systems, both ways: money, dates and business dates, text in Chinese charsets, labels of scales.

Everything here is pure, works on the standard library alone, and raises only ``ParseError``.
"""

from gateway.sdk.convert.dates import (
    business_date,
    format_compact,
    from_serial,
    local,
    parse_date,
    parse_time,
    to_serial,
)
from gateway.sdk.convert.labels import Label, LabelRule, check_digit, encode_label, is_scale_label, parse_label
from gateway.sdk.convert.money import (
    fen_of_column,
    format_implied,
    format_yuan,
    parse_digits,
    parse_implied,
    parse_yuan,
)
from gateway.sdk.convert.text import (
    cut_bytes,
    decode_cut,
    decode_text,
    encode_text,
    fits,
    mend_mojibake,
    narrow,
    pad_bytes,
    trim,
    wide,
)

__all__ = [
    "Label",
    "LabelRule",
    "business_date",
    "check_digit",
    "cut_bytes",
    "decode_cut",
    "decode_text",
    "encode_label",
    "encode_text",
    "fen_of_column",
    "fits",
    "format_compact",
    "format_implied",
    "format_yuan",
    "from_serial",
    "is_scale_label",
    "local",
    "mend_mojibake",
    "narrow",
    "pad_bytes",
    "parse_date",
    "parse_digits",
    "parse_implied",
    "parse_label",
    "parse_time",
    "parse_yuan",
    "to_serial",
    "trim",
    "wide",
]
