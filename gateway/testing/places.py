"""Where the parts of a plugin stand, for hints: files as a person finds them, hooks with their line."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from gateway.runtime.hookcheck import implemented_hooks
from gateway.testing.ladder import Places
from gateway.testing.profile import Profile


def places_of(profile: type[Profile], folder: Path) -> Places:
    """The places of one plugin, relative to the working directory where they lie below it."""
    adapter = profile.adapter
    return Places(
        adapter=_file(adapter),
        conformance=f"{_file(profile)}, {profile.__name__}",
        folder=_near(folder),
        hooks={hook: _method(getattr(adapter, hook)) for hook in sorted(implemented_hooks(adapter))},
    )


def _file(what: Any) -> str:
    """The file of a class; its name where there is none, as for one that was made up in a session."""
    try:
        return _near(Path(inspect.getfile(what)))
    except (OSError, TypeError):
        return str(what.__name__)


def _method(hook: Any) -> str:
    try:
        line = inspect.getsourcelines(hook)[1]
    except (OSError, TypeError):
        return f"{hook.__name__}()"
    return f"{_file(inspect.unwrap(hook))}:{line}, {hook.__name__}()"


def _near(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
