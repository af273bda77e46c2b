"""Another host: a network namespace of Linux, with a wire to this one that can be cut, and one by which tests reach it."""

import contextlib
import os
import subprocess

import needs


class Host:
    """A namespace. What is run `within` it reaches this host at `wired_to`, and is reached at `address`."""

    def __init__(self, number):
        ip = needs.program("ip", "iproute2")
        needs.root("network namespaces")
        self._ip = ip
        self.name = f"driftline-{os.getpid()}-{number}"
        self.within = (ip, "netns", "exec", self.name)
        self._wire, self._front = (f"dl{os.getpid() % 1_000_000}{number}{end}" for end in "wf")
        third = os.getpid() % 250 + 1
        self.wired_to, self.address = f"10.213.{third}.{number * 8 + 1}", f"10.213.{third}.{number * 8 + 6}"
        self._wires = (
            (self._wire, self.wired_to, f"10.213.{third}.{number * 8 + 2}"),
            (self._front, f"10.213.{third}.{number * 8 + 5}", self.address),
        )

    def __enter__(self):
        self._run("netns", "add", self.name)
        try:
            self._run("-n", self.name, "link", "set", "lo", "up")
            for near, here, there in self._wires:
                self._run("link", "add", near, "type", "veth", "peer", "name", f"{near}b", "netns", self.name)
                self._run("address", "add", f"{here}/30", "dev", near)
                self._run("-n", self.name, "address", "add", f"{there}/30", "dev", f"{near}b")
                self._run("link", "set", near, "up")
                self._run("-n", self.name, "link", "set", f"{near}b", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("netns", "delete", self.name)  # and with it the wires

    def cut(self):
        """Pull the plug: nothing arrives any more, and nobody is told."""
        self._run("link", "set", self._wire, "down")

    def heal(self):
        """Put it back."""
        self._run("link", "set", self._wire, "up")

    def _run(self, *words):
        subprocess.run([self._ip, *words], check=True, capture_output=True)
