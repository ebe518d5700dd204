"""Where the data files are that come with the gateway: beside a checkout, or where an installed wheel has put them."""

from __future__ import annotations

import configparser
import sysconfig
from importlib import metadata
from pathlib import Path

#: The folder under an environment's data folder that a wheel's configuration files are installed to.
INSTALLED = "share/o2o-gateway/config"


def config_folder() -> Path:
    """The folder ``config``. Raises ``FileNotFoundError`` that says where it was looked for."""
    checkout = Path(__file__).resolve().parent.parent / "config"
    installed = Path(sysconfig.get_path("data")) / INSTALLED
    for folder in (checkout, installed):
        if (folder / "gunicorn.conf.py").exists():
            return folder
    raise FileNotFoundError(f"neither {checkout} nor {installed} has the gateway's configuration files")


def entry_points(group: str) -> dict[str, str]:
    """Names and values of a group of entry points; those of a bare checkout come from ``plugins/entry_points.txt``."""
    found = {point.name: point.value for point in metadata.entry_points(group=group)}
    file = Path(__file__).resolve().parent.parent / "plugins" / "entry_points.txt"
    if not found and file.is_file():
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.read_string(file.read_text(encoding="utf-8"))
        found = dict(parser[group]) if parser.has_section(group) else {}
    return found
