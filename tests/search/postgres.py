"""A PostgreSQL server of Debian's in a folder of its own, for tests that stop it, start it and cut its connections."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

USER = "postgres"  # Debian's own user; a server does not run as root


def programs() -> Path | None:
    """Where its programs are; None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("pg_ctl")
    return Path(there).parent if there else None


class Server:
    """A server on the loopback address, with no password; it forgets nothing but by a fault of the machine."""

    def __init__(self) -> None:
        bin_ = programs()
        assert bin_ is not None
        self.bin = bin_
        self.folder = Path(tempfile.mkdtemp(prefix="ventral_postgres_"))
        self.port = _free_port()
        self._who: dict[str, Any] = {}
        if os.getuid() == 0:
            shutil.chown(self.folder, USER, USER)
            self._who = {"user": USER, "group": USER, "extra_groups": []}
        self._run("initdb", "-D", "data", "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=60"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stops it: "immediate" as a crash would, "fast" as an administrator does."""
        self._run("pg_ctl", "-D", "data", "-m", mode, "-w", "stop")

    def cut(self) -> int:
        """Ends all connections of others; gives how many."""
        others = "pg_stat_activity where pid <> pg_backend_pid() and datname = 'postgres'"
        return int(self.ask(f"select count(pg_terminate_backend(pid)) from {others}"))

    def ask(self, query: str) -> str:
        done = subprocess.run(
            [self.bin / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-Atc", query],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def remove(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would stay open in the server
            stderr=subprocess.DEVNULL,
            check=False,
            **self._who,
        )
        assert done.returncode == 0, f"{program} failed; see {self.folder}/log"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
