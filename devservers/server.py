"""A server beside us: started by us, and stopped by its own handle alone."""

import subprocess


class DidNotStart(RuntimeError):
    """A server did not start; the message says where its output is."""


class Server:
    """What a broker and a Redis have in common: how they end."""

    process: "subprocess.Popen[bytes] | None"

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=30)
