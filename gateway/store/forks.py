"""What becomes of an open database when the process forks: the child must not touch its parent's connections."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that holds connections."""

    def after_fork(self) -> object:
        """In the child: begin anew; return what was the parent's, which will never be collected."""
        ...


_OPEN: weakref.WeakSet[Forkable] = weakref.WeakSet()


def at_fork(database: Forkable) -> None:
    """Have ``database.after_fork()`` called in every child, as long as it lives."""
    _OPEN.add(database)


def _in_child() -> None:
    for database in list(_OPEN):
        parents = database.after_fork()
        # A connection that is collected closes itself: on SQLite that may take the parent's locks and its WAL away,
        # on PostgreSQL it ends the parent's session. One reference too many keeps it alive even at the exit.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(parents))


os.register_at_fork(after_in_child=_in_child)
