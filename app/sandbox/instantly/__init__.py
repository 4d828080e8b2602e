"""The sandbox Instantly: API v2 as a local server that behaves the way public evidence says Instantly does."""

from app.sandbox.instantly.deliveries import Sender, delivering
from app.sandbox.instantly.server import InstantlySandbox
from app.sandbox.instantly.store import Refused, Store
from app.sandbox.instantly.switches import Switches

__all__ = ["InstantlySandbox", "Refused", "Sender", "Store", "Switches", "delivering"]
