"""Record and replay: real traffic of a legacy system, masked before it is written, served as a simulator."""

from gateway.testing.traffic.file import Exchange, Traffic, of_tape
from gateway.testing.traffic.masks import Masks
from gateway.testing.traffic.recorder import Recorder
from gateway.testing.traffic.replay import Replay

__all__ = ["Exchange", "Masks", "Recorder", "Replay", "Traffic", "of_tape"]
