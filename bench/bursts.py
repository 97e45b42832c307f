"""Our own server by both adapters, loaded in bursts on request; for ``bench.paired``.

It prints ``ready``. For each adapter's name that it reads from its input, it prints the processor time of an answer in
microseconds, over three seconds at full speed. It ends with its input. It runs in another checkout, too: there it uses
that checkout's servers and requests.
"""

import sys

from bench.contestants.http_servers import FastPath, Ninja
from bench.serving import CLIENTS, CUSTOMERS, shared_servers, spent_us

ADAPTERS = {"cpu_us": FastPath, "ninja_cpu_us": Ninja}
BURST_S = 3


def main() -> None:
    with shared_servers(CUSTOMERS) as servers:
        fast, ninja = (adapter(servers) for adapter in ADAPTERS.values())
        with fast.serving() as fast_process, ninja.serving() as ninja_process:
            running = dict(zip(ADAPTERS, [(fast, fast_process), (ninja, ninja_process)], strict=True))
            print("ready", flush=True)
            for line in sys.stdin:
                server, process = running[line.strip()]
                workers = process.children(recursive=True) or [process]
                print(spent_us(server.requests(), workers, CLIENTS, BURST_S), flush=True)


if __name__ == "__main__":
    main()
