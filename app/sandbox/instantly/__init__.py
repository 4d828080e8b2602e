"""The sandbox Instantly: API v2 as a local server that behaves the way public evidence says Instantly does.

- Asked: `server` has the routes, with `analytics_api`, `hooks_api` and `kept_api`; `wire` says what is accepted and how
  it is refused, `limits` how often, `listing` what a page holds, `switches` what nobody knows for sure.
- Kept: `workspace` is what users see and change, `store` what happens to it by and by (`agenda`); `records` stand in
  `shelves`, under ids of `ids`.
- Told: what happens is a deed (`deeds`); `analytics` counts it, `deliveries` post it to the `hooks` in the words of
  `payloads`, and `delivery_log` keeps the attempts.
- Played: `acting` lets somebody act from outside, `day` lives a whole day.
"""

from app.sandbox.instantly.deliveries import Sender, delivering
from app.sandbox.instantly.server import InstantlySandbox
from app.sandbox.instantly.store import Refused, Store
from app.sandbox.instantly.switches import Switches

__all__ = ["InstantlySandbox", "Refused", "Sender", "Store", "Switches", "delivering"]
