"""A wheel, an editable install and a bare checkout behave alike, from a folder that has nothing in it."""

from __future__ import annotations

import configparser
import json
import re
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from tests.packaging.installed import ROOT, Installation

pytestmark = pytest.mark.slow


def declared(group: str) -> list[str]:
    """The names of a group of entry points, as they are declared."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.read_string((ROOT / "plugins" / "entry_points.txt").read_text(encoding="utf-8"))
    return sorted(parser[group])


def test_the_command_is_there(installation: Installation, tmp_path: Path) -> None:
    assert "demo" in installation.run("--help", cwd=tmp_path).stdout


def test_every_simulator_is_listed(installation: Installation, tmp_path: Path) -> None:
    """A checkout without metadata finds them in its own list of entry points."""
    assert installation.run("simulate", cwd=tmp_path).stdout.split() == declared("o2o_gateway.simulators")


def test_every_plugin_loads(installation: Installation, tmp_path: Path) -> None:
    said = installation.run("plugins", "list", cwd=tmp_path).stdout
    assert "NOT LOADED" not in said
    packages = {line.split()[1].split(".")[1] for line in said.splitlines()}
    assert packages == set(declared("o2o_gateway.plugins"))


def test_the_application_finds_its_configuration(installation: Installation, tmp_path: Path) -> None:
    """``wsgi:app`` for any WSGI server, configured by ``GATEWAY_CONFIG``."""
    file = configuration(tmp_path / "elsewhere")
    code = "import wsgi; parts = wsgi.app.extensions['gateway']; print(parts.config.file); parts.close()"
    assert installation.ask(code, cwd=tmp_path, GATEWAY_CONFIG=str(file)) == str(file)


def test_the_configurations_files_are_found(installation: Installation, tmp_path: Path) -> None:
    code = (
        "from gateway.folders import config_folder as f; print(*sorted(p.name for p in f().rglob('*') if p.is_file()))"
    )
    found = set(installation.ask(code, cwd=tmp_path).split())
    demo = {file.name for file in (ROOT / "config" / "demo").glob("*.toml")}
    assert {"gunicorn.conf.py", "gateway.toml", *demo} <= found
    assert demo


def test_the_server_serves_its_pages(installation: Installation, tmp_path: Path) -> None:
    """The API's document, its page and that page's files, from ``gateway serve`` under gunicorn."""
    with serving(installation, tmp_path) as url:
        assert requests.get(f"{url}/openapi.json", timeout=10).json()["openapi"].startswith("3.1")
        for path in ("docs", "docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "docs/docs.js", "problems/not-found"):
            reply = requests.get(f"{url}/{path}", timeout=10)
            assert (reply.status_code, bool(reply.content)) == (200, True), path


def test_the_console_brings_its_page_and_its_style(installation: Installation, tmp_path: Path) -> None:
    """It runs beside the server, on a port of its own."""
    with serving(installation, tmp_path, CONSOLE) as url:
        page = requests.get(f"{url}/console/", timeout=10)
        assert (page.status_code, "Corner" in page.text) == (200, True)
        styles = re.findall(r'href="([^"]+\.css[^"]*)"', page.text)
        assert styles
        for style in styles:
            assert requests.get(urljoin(page.url, style), timeout=10).headers["Content-Type"].startswith("text/css")


@pytest.mark.parametrize("name", declared("o2o_gateway.simulators"))
def test_every_simulator_starts(installation: Installation, name: str, tmp_path: Path) -> None:
    """With the files that it brings: menus, shops, WSDL."""
    command = [*installation.command, "simulate", name, "--data", str(tmp_path / "system")]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=installation.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline() or "{}")
        assert requests.get(f"{told['panel']}/books", timeout=10).status_code == 200
    finally:
        end(process)


#: Where a server answers first: the page that is asked for, and which of the two ports it is on.
API, CONSOLE = ("/healthz", 0), ("/console/", 1)


def configuration(folder: Path, ports: tuple[int, int] = (8080, 8081)) -> Path:
    """A gateway with a merchant that has no systems yet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corner.toml").write_text("[merchant]\nid = 'corner'\nname = 'Corner'\n", encoding="utf-8")
    file = folder / "gateway.toml"
    server = f"[server]\nport = {ports[0]}\nconsole_port = {ports[1]}\nworkers = 1\n"
    file.write_text(f"data = 'data'\nmerchants = ['corner.toml']\n{server}", encoding="utf-8")
    return file


@contextmanager
def serving(installation: Installation, folder: Path, awaited: tuple[str, int] = API) -> Iterator[str]:
    """``gateway serve`` on free ports; the address of what is awaited."""
    page, which = awaited
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = (one.getsockname()[1], two.getsockname()[1])
    file = configuration(folder / "etc", ports)
    log = (folder / "log").open("w+", encoding="utf-8")
    process = subprocess.Popen(
        [*installation.command, "serve", "--config", str(file)],
        cwd=folder,
        env=installation.environment(),
        stdout=log,
        stderr=log,
        text=True,
    )
    try:
        yield answering(f"http://127.0.0.1:{ports[which]}", page, process, folder / "log")
    finally:
        end(process)
        log.close()


def answering(url: str, page: str, process: subprocess.Popen[str], log: Path) -> str:
    """The address, once it answers."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with suppress(requests.RequestException):
            if requests.get(url + page, timeout=2).status_code == 200:
                return url
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))


def end(process: subprocess.Popen[str]) -> None:
    """End a process that was started here."""
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


# --- the wheel -------------------------------------------------------------------------------------------------------


def test_the_wheel_brings_no_other_top_level_names(wheel: Path) -> None:
    """``plugins`` and ``schemas`` are names that others use too: nothing more than what is needed."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in tops if "." not in name} == {"gateway", "plugins", "schemas"}
    assert {name for name in tops if name.endswith(".py")} == {"wsgi.py"}
    assert all(name.startswith("o2o_gateway-") for name in tops if "." in name and not name.endswith(".py"))


def test_every_file_beside_the_code_is_in_the_wheel(wheel: Path) -> None:
    """Pages, styles, scripts, texts, WSDL, seeds, READMEs: what a checkout has, an installation has."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    source = wheel.parent / "source"
    for top in ("gateway", "plugins", "schemas"):
        files = {str(file.relative_to(source)) for file in (source / top).rglob("*") if file.is_file()}
        assert {name for name in files if "__pycache__" not in name} - inside == set()
        assert files
