"""Processes of which a run has several: stream workers and store verifiers, each with what is its own."""

import re
import shutil

import httpx

from devservers.installation import Installation
from devservers.ports import free_port
from tests.chaos.proxy import Proxy
from tests.chaos.supervisor import SupervisedProcess

LAG_PARTITION = re.compile(r'^rapport_stream_lag\{partition="(\d+)"', re.MULTILINE)


class Worker:
    """A stream worker with its own name, data folder and health page."""

    def __init__(self, installation: Installation, name: str) -> None:
        self.name, self.port, self.data_folder = name, free_port(), installation.folder / name
        settings = {"stream_member": name, "stream_health_port": self.port, "stream_data_dir": self.data_folder}
        self.process = SupervisedProcess(name, lambda: installation.start(name, "-m", "streams", "worker", **settings))

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def unready_reason(self) -> str:
        """The text of its health page; "" while it does not answer."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).text
        except httpx.TransportError:
            return ""

    def partitions(self) -> frozenset[int]:
        """The partitions assigned to it: its metrics have a lag of each."""
        metrics = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        return frozenset(map(int, LAG_PARTITION.findall(metrics)))

    def delete_data(self) -> None:
        """Delete its data folder. Only while the process is held."""
        shutil.rmtree(self.data_folder)


class StoreVerifier:
    """A store verifier, which reaches the store through a proxy of its own."""

    def __init__(self, installation: Installation, name: str, proxy: Proxy) -> None:
        self.name, self.proxy = name, proxy
        url = f"redis://127.0.0.1:{proxy.port}/0"
        self.process = SupervisedProcess(
            name, lambda: installation.start(name, "manage.py", "verify_store", store_url=url)
        )
