"""Relaying to servers that others wrote: smtp-sink, Postfix, Mailman 3."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import smtpd_compat
from tests.functional.processes import reserved_port, server_process
from tests.support.serving import address, serving
from tests.support.upstream import upstream

PATIENCE = 60
HOST = "127.0.0.1"

#: Programs of mail servers are often where only root's PATH leads.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])

#: A virtual environment with Mailman 3; `.ci/run` makes one.
MAILMAN = os.environ.get("SMTPD_COMPAT_MAILMAN_VENV", "")

MESSAGE = (
    b"From: a@example.test\r\nSubject: =?utf-8?q?=C3=BC?=\r\n"
    b"Message-ID: <one@example.test>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n"
    b".a line with a dot\r\n.\r\n8 bits: \xc3\xbc\xff\r\nthe end\r\n"
)
BODY = MESSAGE.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


@contextlib.contextmanager
def program(command: list[str], host: str, port: int, **kwargs: Any) -> Iterator[None]:
    """Run *command* until the block ends; enter it once *port* greets clients.

    Skips the test where the command ends instead, as it cannot serve.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **kwargs
        )
        try:
            if not greets(process, host, port):
                assert process.poll() is not None, f"{command[0]} greets nobody"
                output.seek(0)
                pytest.skip(f"{command[0]} cannot serve here: {output.read()!r}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def greets(process: subprocess.Popen[bytes], host: str, port: int) -> bool:
    """Wait until the process has greeted a client, or has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), PATIENCE) as client:
                return client.recv(3) == b"220"
        except OSError:
            pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            return False
    return False


@contextlib.contextmanager
def client_of(server: Any) -> Iterator[smtplib.SMTP]:
    """A client of ``python -m smtpd_compat``."""
    with smtplib.SMTP(server.host, server.port, timeout=PATIENCE) as client:
        client.ehlo()
        yield client


def send(client: smtplib.SMTP, *rcpttos: str, mailfrom: str = "a@example.test") -> Any:
    """Send the message; the reply to the end of the data."""
    assert client.mail(mailfrom, ["BODY=8BITMIME"])[0] == 250
    for to in rcpttos:
        assert client.rcpt(to)[0] == 250
    return client.data(MESSAGE)


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that servers which give up root can reach, too."""
    path = Path(tempfile.mkdtemp(prefix="smtpd_compat-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


# smtp-sink


@contextlib.contextmanager
def sink(directory: Path, *options: str) -> Iterator[int]:
    """Run smtp-sink, which leaves every message in a file; yields its port."""
    command = shutil.which("smtp-sink", path=SEARCH_PATH)
    if command is None:
        pytest.skip("smtp-sink is not installed")
    if is_root():
        directory.chmod(0o777)
        options = ("-u", "nobody", *options)
    with reserved_port(HOST) as port:
        arguments = [*options, "-d", "message.", f"{HOST}:{port}", "64"]
        with program([command, *arguments], HOST, port, cwd=directory):
            yield port


def in_sink(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.glob("message.*")]


def test_smtp_sink_gets_what_was_acknowledged(public_directory: Path) -> None:
    with sink(public_directory) as port:
        with server_process("-n", remote=f"{HOST}:{port}") as server:
            with client_of(server) as client:
                replies = [send(client, "b@example.test", "c@x") for _ in range(5)]
        messages = in_sink(public_directory)
    assert replies == [(250, b"OK")] * 5
    assert len(messages) == 5
    for message in messages:
        assert b"\nX-Rcpt-Args: <b@example.test>\nX-Rcpt-Args: <c@x>\n" in message
        assert b"BODY=8BITMIME" in message
        assert b"+0000\nX-Peer: 127.0.0.1\n\n" + BODY in message


def test_many_clients_at_once_lose_nothing_on_the_way_to_smtp_sink(
    public_directory: Path,
) -> None:
    def ten_messages() -> None:
        with client_of(server) as client:
            replies.extend(send(client, "b@example.test") for _ in range(10))

    replies: list[Any] = []
    with sink(public_directory) as port:
        with server_process("-n", remote=f"{HOST}:{port}") as server:
            threads = [threading.Thread(target=ten_messages) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert replies == [(250, b"OK")] * 200
        assert len(in_sink(public_directory)) == 200


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (("-f", "mail"), 500),
        (("-f", "rcpt"), 500),
        (("-f", "data"), 500),
        (("-f", "."), 500),
        (("-r", "mail"), 450),
        (("-r", "rcpt"), 450),
        (("-r", "data"), 450),
        (("-r", "."), 450),
        (("-q", "ehlo"), 451),
        (("-q", "mail"), 451),
        (("-q", "rcpt"), 451),
        (("-q", "data"), 451),
        (("-q", "."), 451),
        (("-Q", "mail"), 451),
        (("-Q", "rcpt"), 451),
        (("-Q", "."), 451),
    ],
    ids=str,
)
def test_what_smtp_sink_refuses_is_not_acknowledged(
    public_directory: Path, options: tuple[str, ...], codes: int
) -> None:
    with sink(public_directory, *options) as port:
        with serving(smtpd_compat.PureProxy, (HOST, port)) as server:
            with smtplib.SMTP(*address(server), timeout=PATIENCE) as client:
                client.ehlo()
                assert send(client, "b@example.test", "c@x")[0] == codes


# Postfix

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mta.example
mydestination =
relay_domains = example.test
alias_maps =
alias_database =
header_checks = static:HOLD
"""

#: Whom it refuses, in the form of main.cf.
REFUSING_SOME = """
smtpd_recipient_restrictions =
  check_recipient_access inline:{
    {gone@example.test = 550 5.1.1 nobody of that name},
    {busy@example.test = 450 4.2.1 come back} }
  permit_mynetworks reject
smtpd_end_of_data_restrictions =
  check_sender_access inline:{ {late@example.test = 554 5.7.1 not that message} }
"""

#: What takes mail, in the form of master.cf.
LISTENER = "{port} inet n - n - - smtpd\n"

MASTER_CF = """
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """An instance of Postfix that keeps what it takes in its hold queue.

    *listeners* are lines of master.cf, of which one must listen on *port*;
    *restrictions* are lines of main.cf.

    Skips the test where Postfix cannot run.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        listeners: str | None = None,
        restrictions: str = REFUSING_SOME,
    ) -> None:
        command = shutil.which("postfix", path=SEARCH_PATH)
        if command is None:
            pytest.skip("postfix is not installed")
        if not is_root():
            pytest.skip("postfix starts for root only")
        self.directory = directory
        self.port = port
        self._start = [command, "-c", str(directory / "etc"), "start-fg"]
        self._stop = [command, "-c", str(directory / "etc"), "stop"]
        for name in ("etc", "queue", "data"):
            (directory / name).mkdir()
        shutil.chown(directory / "data", "postfix")
        listeners = listeners or LISTENER.format(port=port)
        settings = MAIN_CF.format(directory=directory) + restrictions
        (directory / "etc/main.cf").write_text(settings)
        (directory / "etc/master.cf").write_text(listeners + MASTER_CF)

    @contextlib.contextmanager
    def running(self) -> Iterator[Postfix]:
        """Run it for as long as the block runs, and leave none of its processes."""
        self._check_settings()
        try:
            with program(self._start, HOST, self.port):
                try:
                    yield self
                finally:
                    subprocess.run(
                        self._stop, capture_output=True, check=True, timeout=PATIENCE
                    )
        except BaseException:
            # Postfix has not started, or not stopped; it is a process group.
            with contextlib.suppress(OSError):
                pid = (self.directory / "queue/pid/master.pid").read_text()
                os.killpg(int(pid), signal.SIGKILL)
            raise

    def _check_settings(self) -> None:
        """Fail if Postfix has a warning about main.cf.

        Every process of Postfix would log the warning when it starts. So would the one
        that reads the log's socket, before it reads: where the others have filled the
        socket by then, all of Postfix stands still, and so does "postfix stop".
        """
        postconf = shutil.which("postconf", path=SEARCH_PATH) or "postconf"
        command = [postconf, "-n", "-c", str(self.directory / "etc")]
        checked = subprocess.run(command, capture_output=True, check=True)
        assert checked.stderr == b""

    def messages(self) -> list[tuple[list[str], bytes]]:
        """Recipients and text of every message in the hold queue."""
        return [self._read(path) for path in self.directory.glob("queue/hold/*")]

    def _read(self, path: Path) -> tuple[list[str], bytes]:
        postcat = shutil.which("postcat", path=SEARCH_PATH) or "postcat"
        command = [postcat, "-c", str(self.directory / "etc")]
        envelope = subprocess.check_output([*command, "-e", str(path)]).decode()
        text = subprocess.check_output([*command, "-hb", str(path)])
        start = "recipient: "
        lines = [line for line in envelope.splitlines() if line.startswith(start)]
        return [line[len(start) :] for line in lines], text


@pytest.fixture
def postfix(public_directory: Path) -> Iterator[Postfix]:
    with reserved_port(HOST) as port:
        with Postfix(public_directory, port).running() as running:
            yield running


@pytest.mark.postfix
def test_postfix_holds_what_was_acknowledged_and_nothing_else(
    postfix: Postfix,
) -> None:
    with server_process("-n", remote=f"{HOST}:{postfix.port}") as server:
        with client_of(server) as client:
            taken = send(client, "b@example.test", "c@example.test")
            gone = send(client, "gone@example.test")
            busy = send(client, "busy@example.test")
            late = send(client, "b@example.test", mailfrom="late@example.test")
            some = send(client, "b@example.test", "gone@example.test")
            null = send(client, "null@example.test", mailfrom="<>")
        held = postfix.messages()
    assert taken == null == (250, b"OK")
    assert (gone[0], busy[0], late[0], some[0]) == (550, 450, 554, 554)
    assert b"5.1.1 <gone@example.test>: Recipient address rejected" in gone[1]
    assert b"<gone@example.test>: 550 5.1.1" in some[1]
    assert sorted(recipients for recipients, _ in held) == [
        ["b@example.test"],
        ["b@example.test", "c@example.test"],
        ["null@example.test"],
    ]
    for _, text in held:
        assert text.endswith(b"\nX-Peer: 127.0.0.1\n\n" + BODY)


@pytest.mark.postfix
def test_postfix_takes_smtputf8_addresses_through_the_relay(postfix: Postfix) -> None:
    with serving(smtpd_compat.PureProxy, (HOST, postfix.port)) as server:
        recipients = ["zoë@example.test"]
        refused = server._deliver("jürgen@example.test", recipients, MESSAGE)
        held = postfix.messages()
    assert refused == {}
    assert [to for to, _ in held] == [recipients]
    assert held[0][1].endswith(BODY)


# Mailman 3

MAILMAN_CFG = """
[mailman]
layout: here
site_owner: owner@example.test
[paths.here]
var_dir: {directory}
[mta]
incoming: mailman.mta.null.NullMTA
lmtp_host: 127.0.0.1
lmtp_port: {port}
"""

#: Prints what Mailman knows of a message in a file of its queues.
METADATA = """
import json, pickle, sys
with open(sys.argv[1], "rb") as file:
    pickle.load(file)
    print(json.dumps(pickle.load(file), default=str))
"""


class Mailman:
    """A Mailman 3 of which only the LMTP runner runs, so that its queues fill."""

    def __init__(self, environment: Path, directory: Path, port: int) -> None:
        self.port = port
        self._bin = environment / "bin"
        self._directory = directory
        self._config = directory / "mailman.cfg"
        self._config.write_text(MAILMAN_CFG.format(directory=directory, port=port))

    def create_list(self, name: str) -> None:
        as_root = ["--run-as-root"] if is_root() else []
        command = [str(self._bin / "mailman"), *as_root, "-C", str(self._config)]
        command += ["create", "-d", name]
        subprocess.run(command, check=True, capture_output=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[Mailman]:
        command = [str(self._bin / "runner"), "-C", str(self._config), "-r", "lmtp:0:1"]
        with program(command, HOST, self.port):
            yield self

    def queued(self) -> list[tuple[str, str]]:
        """Queue and list of every message; the queue for owners is called so."""
        found = []
        for path in self._directory.glob("queue/*/*.pck"):
            command = [str(self._bin / "python"), "-c", METADATA, str(path)]
            metadata = json.loads(subprocess.check_output(command))
            queue = "owner" if metadata.get("to_owner") else path.parent.name
            found.append((queue, metadata["listid"]))
        return sorted(found)


@pytest.fixture
def mailman(tmp_path: Path) -> Iterator[Mailman]:
    if not MAILMAN:
        pytest.skip("no Mailman 3: SMTPD_COMPAT_MAILMAN_VENV is not set")
    with reserved_port(HOST) as port:
        core = Mailman(Path(MAILMAN), tmp_path, port)
        core.create_list("ants@example.test")
        with core.running() as running:
            yield running


@pytest.mark.mailman
def test_mailman_3_gets_its_lists_mail_and_upstream_the_rest(mailman: Mailman) -> None:
    class Proxy(smtpd_compat.MailmanProxy):
        mailman_port = mailman.port

    defective = b"\x00garbage\r\nContent-Type: multipart/mixed\r\n\r\n.\r\n"
    with upstream() as up, serving(Proxy, up.address) as server:
        with smtplib.SMTP(*address(server), timeout=PATIENCE) as client:
            client.ehlo()
            both = send(client, "ants@example.test", "user@example.test")
            unknown = send(client, "bees@example.test")
            owner = send(client, "ants-admin@example.test")
            request = send(
                client, "ants-request@example.test", "ants-join@example.test"
            )
            client.mail("a@example.test")
            client.rcpt("ants@example.test")
            client.rcpt("ants-owner@example.test")
            refused = client.data(defective)
        passed_on = [message.rcpttos for message in up.messages]
        queued = mailman.queued()
    assert both == unknown == owner == request == (250, b"OK")
    assert refused == (501, b"Message has defects")
    assert passed_on == [["user@example.test"], ["bees@example.test"]]
    assert queued == [
        ("command", "ants.example.test"),
        ("command", "ants.example.test"),
        ("in", "ants.example.test"),
        ("owner", "ants.example.test"),
    ]
