"""The stages of a sync, and what people ask for: short steps around the pure policy, each with its transactions.

Knows Protocols, no vendors. One way to read it:

- `run` does what is due for a connection, in one turn; `job` is what its stages share, `halving` how they do without
  what cannot be done.
- In: `pull` stores what is shown (`campaigns` says which of them are read), `sweep` finds what is gone, and `reconcile`
  makes decisions of it, after `place` has found whose it is and `breakers` has held back what looks like an accident.
  A `batch` is what it locks, plans and writes at once; `activity` tells people of it.
- Out: `push` writes over `outgoing` what a record lacks, `create` adds records; `write_back` changes rows of campaigns,
  `erase_there` deletes records of erased people. `plans` shows all of this first.
- Beside records: `hooks`, `mails` and `completeness` see to it that every event arrives, `inbox` applies what has
  arrived, `analytics` keeps what is counted.
- People: `edit` and `bulk` change leads, by `canonical` values and no more of them than `size` allows; `merge` and
  `duplicates` are about two that are one, `decide` about what waits; `erase` forgets, `explain` and `past` tell.
  `connect`, `adjust` and `ask` are about connections and their runs.
"""
