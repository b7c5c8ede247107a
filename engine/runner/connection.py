"""A Dask cluster: one that runs already, or processes of this machine."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from cache.commandline.printable import printable
from cache.failures import Failure, UsageFailure, first_line
from engine.graphs.session import available_cores

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

_log = logging.getLogger(__name__)

# Seconds to wait for a scheduler, and for its first worker.
_PATIENCE = 60

# Who kills a worker is found by this job, at one death each, not by the scheduler. And a worker
# that died comes back, however long a busy machine takes to start it, not within 15 seconds only.
# The rest is what Dask looks at itself for: by default so often that it takes two cores 3 % of
# their time.
_LOCAL = MappingProxyType(
    {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.deploy.lost-worker-timeout": "1 day",
        "distributed.worker.profile.enabled": False,
        "distributed.worker.memory.monitor-interval": "1s",
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "5s",
    }
)

# What each local worker runs first.
_FIRST = "engine.runner.local_worker"


def _address_in(file: str) -> str:
    """Return the scheduler's address in its FILE.json. ValueError if there is none."""
    told = json.loads(Path(file).read_text(encoding="utf-8"))
    if not isinstance(told, dict) or not isinstance(address := told.get("address"), str):
        raise ValueError("the file has no address")
    return address


@contextmanager
def _local_cluster(count: int) -> Iterator["LocalCluster"]:
    """Give a cluster of so many processes of this machine while the block runs."""
    import dask
    from distributed import LocalCluster

    threads = max(1, available_cores() // count)
    if count > available_cores():
        _log.warning("%s workers share %d cores", count, available_cores())
    first = [*dask.config.get("distributed.worker.preload", []), _FIRST]
    with dask.config.set({**_LOCAL, "distributed.worker.preload": first}):
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=threads,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )
        try:
            with cluster:
                yield cluster
        except KeyboardInterrupt:
            # Dask would once more wait, at the end of the process, for what this has cut off; the
            # workers end with it.
            cluster.shutdown_on_close = False
            raise


@contextmanager
def connect(address: str) -> Iterator["Client"]:
    """Give a client of a cluster while the block runs; a local cluster lives as long.

    address: `local:N` for N processes here, `tcp://HOST:PORT` or `tls://HOST:PORT` of a scheduler,
        or the path of its FILE.json.

    Raises:
        UsageFailure: it is none of these.
        Failure: Dask is not installed, or there is no such scheduler.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise Failure("a cluster needs Dask; pip install 'onceover[dask]'") from error
    with contextlib.ExitStack() as stack:
        kind, _, count = address.partition(":")
        try:
            if kind == "local" and count.isdecimal() and int(count):
                cluster = stack.enter_context(_local_cluster(int(count)))
                client = stack.enter_context(Client(cluster))
            elif kind in ("tcp", "tls"):
                client = stack.enter_context(Client(address, timeout=_PATIENCE))
            elif address.endswith(".json") and Path(address).is_file():
                client = stack.enter_context(Client(_address_in(address), timeout=_PATIENCE))
            else:
                raise UsageFailure(
                    f"cluster {printable(address)}: give local:N, tcp://HOST:PORT, "
                    "tls://HOST:PORT or the scheduler's FILE.json"
                )
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TypeError as error:
            raise Failure(
                f"{printable(address)} asks for certificates; name the files in "
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ..__TLS__CLIENT__CERT and "
                "..__TLS__CLIENT__KEY, or in Dask's configuration"
            ) from error
        except (OSError, TimeoutError, asyncio.TimeoutError, ValueError) as error:
            raise Failure(
                f"there is no cluster at {printable(address)}: {first_line(error)}; start a "
                "scheduler and at least one worker"
            ) from error
        _log.info("dashboard: %s", client.dashboard_link)
        yield client
