"""gunicorn's settings, from the gateway's own configuration: ``gunicorn -c config/gunicorn.conf.py wsgi:app``."""

import ctypes
import gc
import hashlib
import mmap
import os
import resource
import shutil
import stat
import subprocess
import sys
import tomllib
from contextlib import suppress
from functools import partial
from pathlib import Path

FILE = Path(os.environ.setdefault("GATEWAY_CONFIG", str(Path(__file__).with_name("gateway.toml")))).resolve()
_raw = tomllib.loads(FILE.read_text(encoding="utf-8"))


def _metrics_folder() -> Path:
    """In memory where there is any: the counters are mapped files with holes, and a hole on a full disk kills a worker.

    The name is the same at each start, so that nothing piles up; a folder there that is not ours alone is not used.
    In it each server has a folder of its own: one that is still ending takes nothing from the one that was just begun.
    """
    name = f"gateway-metrics-{os.geteuid()}-{hashlib.sha256(str(FILE).encode()).hexdigest()[:16]}"
    folder = Path("/dev/shm") / name  # noqa: S108 - its owner and its rights are looked at
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
            return folder
    except OSError:
        pass
    return FILE.parent / _raw.get("data", "data") / "metrics"


# Counters are shared by files; prometheus_client decides at its import, so the folder is named before that.
METRICS = _metrics_folder() / str(os.getpid())
METRICS.mkdir(mode=0o700, parents=True, exist_ok=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(METRICS)

from gateway.runtime.config import read_gateway  # noqa: E402 - after the folder of the metrics
from gateway.store.errors import StorageError  # noqa: E402

_server = read_gateway(FILE).server

bind = f"{_server.host}:{_server.port}"
worker_class = "gateway.api.worker.Worker"  # threads, none of which waits for a client
workers = _server.workers
threads = _server.threads
# Half of the files that a process may open: the rest is for the database and the systems.
worker_connections = max(threads + 8, min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
preload_app = False  # connections and threads are made after fork
control_socket_disable = True
timeout = 60
graceful_timeout = 30  # longer than a reply waits before it is 202
keepalive = 30
max_requests = 200_000
max_requests_jitter = 20_000
limit_request_line = 8190
accesslog = None  # the metrics count requests; the engine's journal has what they did
logger_class = "gateway.ops.gunicorn.GunicornLog"  # one event a line; GATEWAY_LOG says whether as JSON or as text
forwarded_allow_ips = "127.0.0.1,::1"


#: Shared by the master and its workers: whether one of them had to leave a database that is not in its place.
_LEFT = mmap.mmap(-1, 1)


def on_starting(server):
    """Counters of processes that are gone would be added for ever; a memory image would hold keys and payment codes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for left in METRICS.parent.iterdir():
        if left == METRICS or not _lives(left.name):
            shutil.rmtree(left, ignore_errors=True)
    METRICS.mkdir(mode=0o700, exist_ok=True)


def _lives(pid):
    """Whether there is such a process; a folder that is not named like one is nobody's."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, OSError):
        return False
    return True


#: Reads everything as the workers will, in a process of its own: this one keeps what it has.
_TRIAL = """
import sys
from pathlib import Path
from gateway.app import build_parts
try:
    build_parts(Path(sys.argv[1])).close()
    print("right")
except Exception as error:
    print(error)
"""


def _reload_if_right(server, reload):
    """A mistake in one merchant's file must not stop the others: what is in force stays until all files are right."""
    env = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    command = [sys.executable, "-c", _TRIAL, str(FILE)]
    said = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False).stdout  # noqa: S603
    if said.strip() == "right":
        reload()
    else:
        server.log.error("not reloaded, what was in force stays: %s", said.strip() or "the files cannot be read")


def when_ready(server):
    """The console is a process of its own, on its own loopback port; 0 means none."""
    server.reload = partial(_reload_if_right, server, server.reload)
    if _server.console_port:
        command = [sys.executable, "-m", "gateway.cli", "console", "--config", str(FILE)]
        server.console = subprocess.Popen(command)  # noqa: S603 - our own program


def on_exit(server):
    """The console ends with the server, and so do the counters; the exit status says if somebody must look."""
    shutil.rmtree(METRICS, ignore_errors=True)
    console = getattr(server, "console", None)
    if console is not None:
        console.terminate()
    if _LEFT[0]:
        sys.exit(1)


#: glibc's name for the number of heaps that threads share.
M_ARENA_MAX = -8


def post_worker_init(worker):
    """What another process left behind is taken up before the first request comes.

    glibc gives every thread a heap of its own; over hours that was a quarter more memory, all of it holes. Two do.
    """
    with suppress(AttributeError, OSError):  # another C library has no such thing
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    gc.collect()
    gc.freeze()  # what is loaded by now stays for good: no need to look at it again and again
    gc.set_threshold(20_000, 20, 20)
    worker.wsgi.extensions["gateway"].start_recovery()


def worker_exit(server, worker):
    """Let the saga in hand end, close what is open."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        try:
            app.extensions["gateway"].close()
        except StorageError as error:
            server.log.critical("%s", error)
            _LEFT[0] = 1


def child_exit(server, worker):
    """Forget the gauges of a worker that is gone."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
