"""The settings of a connection: a marshmallow schema whose errors carry the path of the key."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields

from gateway.domain.common import Secret

_folder: ContextVar[Path] = ContextVar("_folder", default=Path())


@contextmanager
def settings_folder(folder: Path) -> Iterator[None]:
    """Resolve relative paths in settings from this folder: the one that the configuration file lies in."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def resolve_path(value: str) -> Path:
    """A path in settings: ``$NAME`` and ``~`` are expanded, a relative one starts at the configuration's folder."""
    path = Path(os.path.expandvars(value)).expanduser()
    return path if path.is_absolute() else (_folder.get() / path)


def resolve_secret(reference: str) -> Secret:
    """The secret behind ``env:NAME`` or ``file:PATH``.

    A file must not be readable by group or others. Raises ``ValueError`` that says what to do, never the secret.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = os.environ.get(name)
        if value is None:
            raise ValueError(f"the environment variable {name} is not set")
        return Secret(value)
    if kind == "file" and name:
        return Secret(_read_secret_file(resolve_path(name)))
    raise ValueError("expected a reference, env:NAME or file:PATH, never the secret itself")


def _read_secret_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        raise ValueError(f"{path} can be read by others: chmod 600 it")
    return text.rstrip("\r\n")


class SecretField(fields.Field[Secret]):
    """A secret by reference: ``env:NAME`` or ``file:PATH``."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Secret:
        if not isinstance(value, str):
            raise ValidationError("expected a reference, env:NAME or file:PATH")
        try:
            return resolve_secret(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class PathField(fields.Field[Path]):
    """A file or folder; relative to the configuration's folder."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Path:
        if not isinstance(value, str) or not value:
            raise ValidationError("expected a path")
        return resolve_path(value)


class Settings(Schema):
    """Base of an adapter's settings: unknown keys are refused."""

    class Meta:
        unknown: ClassVar[str] = RAISE
