"""For plugin authors: the conformance suite, the profile that it needs of one's plugin, and its parts for other tests.

from gateway.testing import AdapterConformance, Far, Profile
"""

from gateway.testing.chains import Made
from gateway.testing.conformance import AdapterConformance
from gateway.testing.far import Far
from gateway.testing.foreign import ForeignSystem, Place, Unavailable
from gateway.testing.profile import Missing, Profile, charge

__all__ = [
    "AdapterConformance",
    "Far",
    "ForeignSystem",
    "Made",
    "Missing",
    "Place",
    "Profile",
    "Unavailable",
    "charge",
]
