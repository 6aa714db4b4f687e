"""The processes of a run that share each batch, whoever started them: torchrun, Slurm's srun, or the first of them.

All of them run the same command. The first one (rank 0) prepares the run alone; the others wait for it and then read
its folder. Each looks every half second whether another has failed, also while it waits inside torch for one that
will never come: then it ends too, with that one's exit code, and only the one that failed first says why.

To torch and Lightning all look as if torchrun had started them: the variables RANK, WORLD_SIZE, LOCAL_RANK,
LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR and MASTER_PORT are set.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal, NoReturn

from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.fabric.strategies import DDPStrategy
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import distributed
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from ventralstream.errors import VentralError, exit_code, reason
from ventralstream.interrupt import Interruption
from ventralstream.training.recipe import Place

PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}
LOOK_EVERY = 0.5  # seconds between two looks at the others
PATIENCE = 10.0  # seconds after which it is said that others are waited for
GRACE = 5.0  # seconds in which a process ends by itself after another has failed
_MEETING = timedelta(minutes=5)  # for the first process to be there


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is.

    Attributes:
        rank, world: Which of all, and how many there are.
        local_rank, local_world: Which of those on this machine, and how many there are.
        address, port: Where they meet.
        by: Who started them.
        hosted: Whether whoever started them keeps their meeting place; else the first process does.
        attempt: How often all were started anew before (torchrun does).
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    address: str
    port: int
    by: str
    hosted: bool = False
    attempt: str = "0"

    def variables(self) -> dict[str, str]:
        """The variables of the environment that torchrun would set."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_world),
            "GROUP_RANK": str(self.rank // self.local_world),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
        }


def ranks(env: Mapping[str, str] = os.environ) -> Ranks | None:
    """What torchrun, srun or the first process told this one; None if it is alone, as far as it knows.

    Raises:
        VentralError: if the machines of a Slurm job have different numbers of tasks.
    """
    if int(env.get("WORLD_SIZE", 1)) > 1 and {"RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= env.keys():
        world = int(env["WORLD_SIZE"])
        return Ranks(
            int(env["RANK"]),
            world,
            int(env["LOCAL_RANK"]),
            int(env.get("LOCAL_WORLD_SIZE", world)),
            env["MASTER_ADDR"],
            int(env["MASTER_PORT"]),
            "torchrun",
            hosted=env.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            attempt=env.get("TORCHELASTIC_RESTART_COUNT", "0"),
        )
    # Of the step that srun started; what sbatch sets for its script would take that for one of several tasks.
    tasks, machines = int(env.get("SLURM_STEP_NUM_TASKS", 1)), int(env.get("SLURM_STEP_NUM_NODES", 1))
    if tasks <= 1 or "SLURM_PROCID" not in env:
        return None
    if tasks % machines:
        raise VentralError(f"srun started {tasks} tasks on {machines} machines; expected as many on each")
    job, step = int(env["SLURM_JOB_ID"]), int(env["SLURM_STEP_ID"])
    port = int(env.get("MASTER_PORT", 15_000 + (job + 97 * step) % 10_000))  # known to all, and other steps have others
    address = env.get("MASTER_ADDR", "127.0.0.1" if machines == 1 else _first_machine(env["SLURM_STEP_NODELIST"]))
    here = tasks // machines
    return Ranks(int(env["SLURM_PROCID"]), tasks, int(env["SLURM_LOCALID"]), here, address, port, "srun")


def is_first_process() -> bool:
    """Whether this is the only process of a run, or the first of several."""
    here = ranks()
    return here is None or here.rank == 0


class Crew:
    """This process and the others of its run; made by `crew`.

    Attributes:
        ranks: Which of them this is; None if it is alone.
    """

    def __init__(self, here: Ranks | None) -> None:
        self.ranks = here
        self._store: Store | None = None
        self._hosts = False  # the meeting place
        self._started: list[subprocess.Popen[bytes]] = []
        self._over = threading.Event()
        self._looking: threading.Thread | None = None
        self._before: dict[str, str | None] = {}
        if here is not None:
            self._join(here)

    @property
    def rank(self) -> int:
        """Which of all this is."""
        return 0 if self.ranks is None else self.ranks.rank

    @property
    def world(self) -> int:
        """How many there are."""
        return 1 if self.ranks is None else self.ranks.world

    def placed(self, place: Place, asked: int) -> Place:
        """Where a run takes place, given the processes that are there.

        Args:
            place: Where it was to be.
            asked: The number of devices that the user asked for; 1 for none.

        Raises:
            VentralError: if another number of processes was started.
        """
        if self.ranks is None:
            return place
        if asked not in (1, self.world):
            raise VentralError(f"{self.ranks.by} started {self.world} processes, not {asked}: leave out --devices")
        return place.replace(devices=self.world)

    def fabric(self, place: Place, precision: str, stop: Interruption, say: Callable[[str], None]) -> Fabric:
        """The devices of a run, which is prepared: the others read its folder now.

        If this process is alone and there are to be several, the others are started.

        Args:
            place: Where it takes place.
            precision: The recipe's.
            stop: Whether a signal asks for the end.
            say: Told when others are waited for.

        Raises:
            VentralError: if this machine has no such devices, or not all processes come.
            Interrupted: after a signal.
        """
        several = place.devices > 1
        if self.ranks is None and several:
            self._start_others(place.devices)
        here = self.ranks
        try:
            made = Fabric(
                accelerator=place.device,
                strategy=DDPStrategy(static_graph=True, broadcast_buffers=False) if several else "auto",
                devices=here.local_world if here else 1,
                num_nodes=here.world // here.local_world if here else 1,
                precision=PRECISIONS[precision],
                plugins=[TorchElasticEnvironment() if several else LightningEnvironment()],
            )
        except (MisconfigurationException, RuntimeError, ValueError) as error:
            raise VentralError(f"this machine cannot run it: {str(error).strip().splitlines()[0]}") from None
        if self._store is not None and self.rank == 0:
            self._store.set("begun", "")
        self._gather(stop, say)
        made.launch()
        return made

    def _gather(self, stop: Interruption, say: Callable[[str], None]) -> None:
        """Waits until all are here. In torch's own wait a signal would not be heard."""
        if self._store is None or self.ranks is None:
            return
        here, began, said = self._store.add("here", 1), time.monotonic(), False
        while here < self.world:
            waited = time.monotonic() - began
            if stop.wanted:
                raise stop.interrupted()
            if waited > _MEETING.total_seconds():
                raise VentralError(
                    f"{self.ranks.by} announced {self.world} processes, of which {here} came; expected all of them to"
                    " run the same command"
                )
            if waited > PATIENCE and self.rank == 0 and not said:
                said = True
                say(f"waiting for {self.world - here} of the {self.world} processes that {self.ranks.by} announced")
            time.sleep(0.02)
            here = self._store.add("here", 0)

    def wait(self) -> None:
        """Waits until the first process has prepared the run."""
        while self._store is not None and not self._store.check(["begun"]):
            if self._store.check(["failed"]):
                raise VentralError("another process of this run has failed")
            time.sleep(0.05)

    def end(self) -> None:
        """All went well here; the first process waits for the others."""
        if self._store is None:
            return
        if self.rank == 0:
            self._store.set("begun", "")  # if there was nothing to do
        self._store.add("ended", 1)
        while self.rank == 0 and self._store.add("ended", 0) < self.world:
            time.sleep(0.02)
        self._leave()
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def fail(self, error: BaseException) -> None:
        """Something went wrong here.

        Raises:
            SystemExit: if it did so elsewhere first, with that one's exit code: it says what it was.
        """
        if self._store is None:
            return
        first, mine = b"0 1", f"{self.rank} {exit_code(error)}".encode()
        with suppress(RuntimeError):  # else the first process is no more
            if self.rank > 0 and isinstance(error, KeyboardInterrupt):  # which all agree on: the first one says it
                until = time.monotonic() + GRACE
                while not self._store.check(["failed"]) and time.monotonic() < until:
                    time.sleep(0.05)
            first = self._store.compare_set("failed", "", mine.decode())
            if self.rank > 0 and first != mine:
                self._store.add("seen", 1)
            deadline = time.monotonic() + 2 * GRACE
            while self._hosts and self._store.add("seen", 0) < self.world - 1 and time.monotonic() < deadline:
                time.sleep(0.02)
        self._leave()
        if first != mine:
            raise SystemExit(_code(first)) from None

    def _start_others(self, world: int) -> None:
        command = _own_command()
        first = Ranks(0, world, 0, world, "127.0.0.1", _free_port(), "--devices")
        self._join(first)
        for rank in range(1, first.world):
            env = os.environ | replace(first, rank=rank, local_rank=rank).variables()
            self._started.append(subprocess.Popen(command, env=env))

    def _join(self, here: Ranks) -> None:
        self.ranks = here
        self._hosts = hosts = here.rank == 0 and not here.hosted
        try:
            if not hosts:
                _await(here.address, here.port)
            server = TCPStore(
                here.address,
                here.port,
                is_master=hosts,
                timeout=_MEETING,
                wait_for_workers=False,
                multi_tenant=True,  # torch meets at the same place
            )
        except (RuntimeError, OSError) as error:
            what = "be opened" if hosts else "be reached"
            raise VentralError(
                f"the processes of this run meet at {here.address}:{here.port}, which cannot {what} ({reason(error)});"
                " another port can be set as MASTER_PORT"
            ) from None
        self._store = PrefixStore(f"ventralstream/{here.attempt}", server)
        for name, value in here.variables().items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value
        self._looking = threading.Thread(target=self._look, args=(self._store.clone(),), daemon=True)
        self._looking.start()

    def _leave(self) -> None:
        self._over.set()
        for process in self._started:
            try:
                process.wait(2 * GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def _look(self, store: Store) -> None:
        """Ends this process soon after another has failed: its main thread may never come back from torch."""
        while not self._over.wait(LOOK_EVERY):
            try:
                for rank, process in enumerate(self._started, start=1):
                    if process.poll():  # killed, or it could not even begin
                        store.compare_set("failed", "", f"{rank} 1")
                if not store.check(["failed"]):
                    continue
                first = store.get("failed")
            except RuntimeError:  # the first process is no more
                first = b"0 1"
            if first.split()[0] != str(self.rank).encode() and not self._over.wait(GRACE):
                with suppress(RuntimeError):
                    store.add("seen", 1)
                self._die(_code(first))
            return

    def _die(self, code: int) -> NoReturn:
        for process in self._started:
            process.kill()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


@contextmanager
def crew() -> Iterator[Crew]:
    """Meets the other processes of this run, if there are any, for as long as the context lasts.

    An error that leaves the context ends them all, with the exit code that the command line has for it. In all but the
    process in which it happened first, it becomes a SystemExit with this code.
    """
    found = Crew(ranks())
    try:
        yield found
    except BaseException as error:
        found.fail(error)
        raise
    found.end()


def _code(failed: bytes) -> int:
    """The exit code in what a process that failed left: its rank and this."""
    return int(failed.split()[1])


def _first_machine(machines: str) -> str:
    """The first of a list of Slurm's, such as "gpu[07-09,12],cpu1"."""
    return str(SLURMEnvironment.resolve_root_node_address(machines))


def _await(address: str, port: int) -> None:
    """Waits until the first process is there. In torch's own wait a signal would not be heard for minutes."""
    until = time.monotonic() + _MEETING.total_seconds()
    while True:
        try:
            socket.create_connection((address, port), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _own_command() -> list[str]:
    """The command that this process runs."""
    main = sys.modules["__main__"]
    if spec := getattr(main, "__spec__", None):
        return [sys.executable, "-m", spec.name, *sys.argv[1:]]
    script = shutil.which(sys.argv[0]) or sys.argv[0]
    if not Path(script).is_file():
        raise VentralError("several devices need a script or a command that each process can run; expected no notebook")
    return [sys.executable, str(Path(script).resolve()), *sys.argv[1:]]
