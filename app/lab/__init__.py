"""The laboratory: what drives the whole product against the sandbox, to show it, to measure it and to break it.

- `demo` is what `make demo` shows, `bench` what `make bench` measures, `simulate` what `make simulate` runs:
- `storm`: people edit on all sides, providers fail and workers crash, all in one process, on a clock of its own;
- `kills`: processes and databases that are really killed; `crashes`: one story with a crash at each of its moments;
- `model`: the merge policy alone, in memory; `mutants` and `survivors`: small defects that its tests must notice.

They stand on `world`, a workspace between the two sandboxes, or on `simulated`, one without sockets and without
waiting; on `clock`, `transport`, `servers`, `processes` and `scratch` (databases); on `agreement`, which compares what
both sides hold, and on `messy`, leads that were entered twice.
"""
