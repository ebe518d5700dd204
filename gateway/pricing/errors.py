"""What is wrong with a pricing document, each with the JSON pointer of its place."""

from typing import TypedDict


class PricingError(TypedDict):
    """One thing that is wrong: where (RFC 6901) and what."""

    pointer: str
    detail: str


class PricingErrors(ValueError):
    """The document, or the refund asked for, cannot be priced; `errors` names the path of each reason."""

    def __init__(self, errors: list[PricingError] | tuple[PricingError, ...]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{error['pointer'] or '/'}: {error['detail']}" for error in self.errors))


class TooLittleValue(PricingErrors):
    """A tender asks for more than the stored value that is left."""


def fail(pointer: str, detail: str) -> PricingErrors:
    """One error, ready to be raised."""
    return PricingErrors([{"pointer": pointer, "detail": detail}])
