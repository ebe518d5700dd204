"""The wire format of the API, one module a resource: what is accepted, and what the OpenAPI document says.

Requests derive from ``Request`` and refuse what they do not know; replies derive from ``Resource`` and describe what is
sent. Instances are made once, at import: validating a request makes no schema.
"""
