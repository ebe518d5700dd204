"""Sorted parameters and a shared secret: the signature of most Chinese platforms, in its many dialects.

Parameters are sorted by name as bytes, joined in one of two ways, and hashed with the secret around, after, or as the
key of an HMAC. A scheme is a value of :class:`Scheme`; the ready ones are at the end. The parameter that carries the
signature is never part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.sdk.signers.shared import hmac_hex, same


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How one platform signs.

    ``equals`` stands between name and value, ``joint`` between pairs: ``=`` and ``&``, or nothing and nothing.
    ``before`` and ``after`` are put around the text and may hold ``{secret}``. ``digest`` is a name of hashlib; with
    ``keyed`` it is an HMAC under the secret. ``empty``: values that are empty are signed too.
    """

    digest: str
    equals: str = "="
    joint: str = "&"
    before: str = ""
    after: str = ""
    keyed: bool = False
    upper: bool = False
    empty: bool = False
    leave_out: tuple[str, ...] = ("sign",)
    encoding: str = "utf-8"

    def content(self, params: Mapping[str, str]) -> str:
        """What is signed, without the secret: for a log or a platform's online checker."""
        kept = {
            name: value for name, value in params.items() if name not in self.leave_out and (self.empty or value != "")
        }
        names = sorted(kept, key=lambda name: name.encode(self.encoding))
        return self.joint.join(f"{name}{self.equals}{kept[name]}" for name in names)

    def sign(self, params: Mapping[str, str], secret: str) -> str:
        """The signature, hex. Raises ``ValueError`` for a text that the charset cannot hold."""
        text = self.before.replace("{secret}", secret) + self.content(params) + self.after.replace("{secret}", secret)
        raw = text.encode(self.encoding)
        if self.keyed:
            result = hmac_hex(secret.encode(self.encoding), raw, self.digest)
        else:
            result = hashlib.new(self.digest, raw, usedforsecurity=False).hexdigest()
        return result.upper() if self.upper else result

    def verify(self, params: Mapping[str, str], secret: str, name: str = "sign") -> bool:
        """Whether the parameter ``name`` holds the right signature of the others."""
        try:
            return same(self.sign(params, secret), params.get(name))
        except ValueError:
            return False


#: Taobao's open platform, MD5 and HMAC-MD5: ``secret + k1v1k2v2… + secret``, upper-case hex.
TOP_MD5 = Scheme(digest="md5", equals="", joint="", before="{secret}", after="{secret}", upper=True)
TOP_HMAC = Scheme(digest="md5", equals="", joint="", keyed=True, upper=True)

#: Dianping: the same shape, lower-case hex.
DIANPING = Scheme(digest="md5", equals="", joint="", before="{secret}", after="{secret}")

#: Meituan's older voucher platform: SHA-1 of ``sign_key + k1v1k2v2…``.
MEITUAN_SHA1 = Scheme(digest="sha1", equals="", joint="", before="{secret}")

#: WeChat Pay v2 and many that copied it: ``k=v&…&key=secret``, upper-case hex.
WECHAT_V2_MD5 = Scheme(digest="md5", after="&key={secret}", upper=True)
WECHAT_V2_HMAC = Scheme(digest="sha256", after="&key={secret}", keyed=True, upper=True)
