"""Signatures of payment channels and platforms, each tested with vectors that others published or computed.

Canonicalisation belongs to the scheme, so each module says what is signed, over raw bytes:

- ``sorted_params``: sorted parameters and a shared secret (MD5, SHA-1, SHA-256, HMAC), with ready schemes;
- ``rsa``: RSA with SHA-256 over sorted parameters, over a digest, and over the raw node of a JSON reply;
- ``wechat_v3``: requests, replies and encrypted notices of WeChat Pay v3;
- ``mac``: DES message authentication codes of bank terminals (X9.9, X9.19, the ECB kind);
- ``shared``: HMAC over raw bytes, and whether a timestamp is fresh.

They are imported one by one, since ``cryptography`` costs a tenth of a second: ``from gateway.sdk.signers import rsa``.
"""
