"""The wire format of the API: marshmallow schemas, one module a resource, the one source of the OpenAPI document."""
