"""Kills: real processes, real sockets, real SIGKILLs, at seeded moments while something known is going on.

`syncing` kills workers and the database during a sync, `receiving` the service while deliveries come in, `day` whatever
takes part in a day of webhooks. `arena` is the world of the first two; `worker` and `service` are the processes that
are killed.
"""
