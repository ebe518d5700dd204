"""The checkout saga: a pure ``decide``, a driver, recovery, refunds, tasks.

Everything that touches the world is behind five seams: clock, ids, the journal's transaction, the caller, sleep.
"""
