"""What an author writes: one line to subclass, and each rule of the ladder is a test."""

from gateway.testing import AdapterConformance
from tests.testing.wallet import WalletProfile


class TestWallet(AdapterConformance):
    profile = WalletProfile
    grade = "none"
