"""The scaffold: writes a package that installs, with an adapter that works against the simulator beside it."""

from gateway.testing.scaffold.families import FAMILIES, NoSuchPlugin, Wanted, sensible
from gateway.testing.scaffold.write import write

__all__ = ["FAMILIES", "NoSuchPlugin", "Wanted", "sensible", "write"]
