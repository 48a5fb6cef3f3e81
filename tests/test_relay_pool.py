"""Relaying on asyncore: sessions used again, a queue, and time."""

from __future__ import annotations

import collections
import contextlib
import errno
import io
import os
import select
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import smtpd_compat
from smtpd_compat import asyncore
from smtpd_compat._connection._workers import WorkerPool
from smtpd_compat._relays import _pool, _upstream
from smtpd_compat._relays._outgoing import Message
from tests.support import clock
from tests.support.loops import LOOPS
from tests.support.serving import address, serving
from tests.support.upstream import (
    CLOSE,
    RESET,
    SILENT,
    Cut,
    Turns,
    Upstream,
    nobody_listening,
    upstream,
)

PATIENCE = 60
OK = (250, b"OK")
UNAVAILABLE = (451, b"Error: next server is not available, try again later")
MESSAGE = b"Subject: x\r\n\r\ntext\r\n"


class Relay(smtpd_compat.PureProxy):
    """A relay whose sessions stay for as long as a test may take."""

    upstream_keep = PATIENCE


class Blocking(Relay):
    """A handler of one's own, for which upstream is waited for on the loop's thread."""

    def process_message(self, *args: Any, **kwargs: Any) -> str | None:
        return super().process_message(*args, **kwargs)


class InWorkers(Blocking):
    """The same, and one thread waits."""

    worker_threads = 1


#: Notified after every turn of a loop.
turned = threading.Condition()


@contextlib.contextmanager
def relaying(
    remoteaddr: Any, loop: Any = smtpd_compat.loop, cls: Any = Relay, **settings: Any
) -> Iterator[Any]:
    """Serve a relay with *settings* of its class.

    The loop waits for ever, unless something happens or our own one is to look.
    """
    relay = type("Relay", (cls,), settings)

    def by_turns(timeout: float, map: Any) -> None:
        while map:
            loop(timeout=None, map=map, count=1)
            with turned:
                turned.notify_all()

    with serving(relay, remoteaddr, loop=by_turns) as server:
        yield server


def look_up_by_name(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[], object] = bool
) -> None:
    """Have up.example be this host's name; *before* is called for each look-up."""
    lookup = socket.getaddrinfo

    def by_name(host: Any, port: Any, *args: Any, flags: int = 0, **kwargs: Any) -> Any:
        if host != "up.example":
            return lookup(host, port, *args, flags=flags, **kwargs)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        before()
        return lookup("127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", by_name)


def closing_when_released(server: Any, held: Held) -> Callable[[Any], str]:
    """What *server* does at one MAIL: it waits, and ends the connection."""

    def close(argument: Any) -> str:
        del server.script["MAIL"]
        held(argument)
        return CLOSE

    return close


@contextlib.contextmanager
def client(server: Any) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(*address(server), timeout=PATIENCE) as connection:
        connection.ehlo("client.example")
        yield connection


def send(connection: smtplib.SMTP, to: str = "to@x", message: Any = MESSAGE) -> Any:
    """Send a message; the reply to the end of the data."""
    begin(connection, to)
    return connection.data(message)


def begin(connection: smtplib.SMTP, to: str = "to@x") -> None:
    assert connection.mail("from@x")[0] == 250
    assert connection.rcpt(to)[0] == 250


def hand_over(connection: smtplib.SMTP, to: str = "to@x") -> None:
    """Send a message, and do not wait for the reply."""
    begin(connection, to)
    assert connection.docmd("DATA")[0] == 354
    connection.send(MESSAGE + b".\r\n")


def until(condition: Any) -> None:
    """Wait for what a turn of the loop brings about."""
    with turned:
        assert turned.wait_for(condition, PATIENCE)


def channels(relay: Any) -> list[Any]:
    """The clients' that are open."""
    kept = list(relay._map.values())
    return [each for each in kept if isinstance(each, smtpd_compat.SMTPChannel)]


def recipients(server: Upstream) -> list[str]:
    return [to for message in server.messages for to in message.rcpttos]


class Held:
    """A script's step that waits to be released."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.released = threading.Event()

    def __call__(self, argument: Any) -> None:
        self.asked.set()
        assert self.released.wait(PATIENCE)


# Sessions used again


@LOOPS
@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)], ids=["one", "all"])
def test_one_connection_serves_one_message_after_another(
    extensions: Any, loop: Any
) -> None:
    with upstream(extensions=extensions) as server:
        with relaying(server.address, loop) as relay:
            for number in range(3):
                with client(relay) as connection:
                    assert send(connection, f"user{number}@x") == OK
        assert server.connections == 1
        assert recipients(server) == ["user0@x", "user1@x", "user2@x"]
        assert server.verbs().count("EHLO") == 1


@LOOPS
def test_a_session_without_work_leaves_with_quit_after_a_while(loop: Any) -> None:
    with upstream() as server:
        with relaying(server.address, loop, upstream_keep=0.05) as relay:
            with client(relay) as connection:
                assert send(connection) == OK
                server.wait_for(lambda: "QUIT" in server.verbs())
                assert send(connection) == OK
        assert server.connections == 2


def test_a_class_can_have_no_session_kept() -> None:
    with upstream() as server:
        with relaying(server.address, upstream_keep=0) as relay:
            with client(relay) as connection:
                for _ in range(3):
                    assert send(connection) == OK
        assert server.connections == 3
        server.wait_for(lambda: server.verbs().count("QUIT") == 3)


@pytest.mark.parametrize("ending", [CLOSE, "421 idle for too long", "250 what?"])
def test_an_upstream_that_ends_a_kept_session_gets_a_new_one(ending: str) -> None:
    with upstream({"end of data": Turns(["250 taken", ending])}) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == OK
            until(lambda: not relay._smtpd_upstream.sessions)
            assert send(connection) == OK
        assert server.connections == 2
        assert len(server.messages) == 2


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)], ids=["one", "all"])
@pytest.mark.parametrize("ending", [CLOSE, ["421 too long", CLOSE], "nonsense"])
def test_a_kept_session_that_is_dead_is_replaced_once(
    ending: Any, extensions: Any
) -> None:
    script = {"MAIL": Turns(None, ending)}
    with upstream(script, extensions=extensions) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection, "one@x") == OK
            assert send(connection, "two@x") == OK
        assert server.connections == 2
        assert recipients(server) == ["one@x", "two@x"]


def have_idle_sessions(server: Any, relay: Any, held: Held, *clients: Any) -> None:
    """Relay a message of each client at once; then so many sessions are idle.

    :param held: what *server* says at the end of data.
    """
    for number, connection in enumerate(clients, 1):
        hand_over(connection)
        server.wait_for(
            lambda n=number: server.verbs().count("DATA") == n  # type: ignore[misc]
        )
    held.released.set()
    assert [each.getreply() for each in clients] == [OK] * len(clients)
    until(lambda: len(relay._smtpd_upstream.idle) == len(clients))


def test_a_kept_session_that_hears_the_beginning_of_a_farewell_is_kept() -> None:
    with upstream({"end of data": Turns(["250 taken", Cut("421 too")])}) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == OK
            [session] = relay._smtpd_upstream.idle
            until(lambda: session.talk._reader._rest)
            assert relay._smtpd_upstream.idle == [session]
            assert send(connection) == OK
        assert len(server.messages) == 2


def test_all_kept_sessions_are_left_when_one_of_them_turns_out_dead() -> None:
    """As a rule upstream has been started anew."""
    held = Held()
    with upstream({"end of data": held}) as server:
        with relaying(server.address) as relay:
            with client(relay) as one, client(relay) as two:
                have_idle_sessions(server, relay, held, one, two)
                server.script["MAIL"] = Turns(CLOSE)
                assert send(one) == OK
                server.wait_for(lambda: "QUIT" in server.verbs())
        assert server.connections == 3


def test_a_message_is_not_tried_a_third_time_by_a_session_that_was_used_either() -> (
    None
):
    held = Held()

    def greet_no_more(argument: Any) -> str:
        return SILENT

    with upstream({"end of data": held}) as server:
        with relaying(server.address, upstream_sessions=3) as relay:
            with client(relay) as one, client(relay) as two:
                have_idle_sessions(server, relay, held, one, two)
                again = Held()
                server.script["end of data"] = again
                hand_over(one)
                assert again.asked.wait(PATIENCE)
                server.script["greeting"] = greet_no_more
                server.script["MAIL"] = CLOSE
                hand_over(two)
                until(lambda: relay._smtpd_upstream.queue)
                again.released.set()
                assert one.getreply() == OK
                assert two.getreply() == UNAVAILABLE
        assert server.verbs().count("MAIL") == 5


def test_the_oldest_message_hears_why_there_is_no_session() -> None:
    held = Held()

    def refuse(argument: Any) -> str:
        held(argument)
        return "554 not now"

    with upstream() as server:
        with relaying(server.address, upstream_sessions=1) as relay:
            with client(relay) as one, client(relay) as two:
                server.script["greeting"] = refuse
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                hand_over(two, "two@x")
                until(lambda: len(relay._smtpd_upstream.queue) == 2)
                del server.script["greeting"]
                held.released.set()
                assert one.getreply() == (554, b"not now")
                assert two.getreply() == OK
        assert recipients(server) == ["two@x"]


def test_a_message_is_tried_once_by_a_session_that_is_new() -> None:
    with upstream({"MAIL": CLOSE}) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == UNAVAILABLE
        assert server.verbs().count("MAIL") == 1


def test_a_message_is_not_tried_a_third_time() -> None:
    with upstream({"MAIL": Turns(None, CLOSE, CLOSE)}) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == OK
            assert send(connection) == UNAVAILABLE
            assert send(connection) == OK
        assert server.verbs().count("MAIL") == 4


@pytest.mark.parametrize("step", ["RCPT", "DATA", "end of data"])
def test_what_upstream_has_begun_to_take_is_not_tried_again(step: str) -> None:
    with upstream({step: Turns(None, CLOSE)}) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == OK
            assert send(connection) == UNAVAILABLE
        assert server.connections == 1


def test_nothing_is_tried_again_after_a_time_out() -> None:
    with upstream({"MAIL": Turns(None, SILENT)}) as server:
        with relaying(server.address, upstream_timeout=0.1) as relay:
            with client(relay) as connection:
                assert send(connection) == OK
                assert send(connection) == UNAVAILABLE
        assert server.verbs().count("MAIL") == 2


def test_another_remote_address_gets_sessions_of_its_own() -> None:
    with upstream() as one, upstream() as two:
        with relaying(one.address) as relay, client(relay) as connection:
            assert send(connection) == OK
            relay._remoteaddr = two.address
            assert send(connection) == OK
            one.wait_for(lambda: "QUIT" in one.verbs())
        assert (len(one.messages), len(two.messages)) == (1, 1)


@LOOPS
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("most", [1, 256])
def test_a_forked_child_has_sessions_of_its_own(most: int, loop: Any) -> None:
    """It lets go of those that it shares with its parent, without a word.

    Before it closes anything, too, as a process for each connection does.
    """
    with upstream() as server:
        with contextlib.ExitStack() as stack:
            relay = stack.enter_context(
                relaying(server.address, loop, upstream_sessions=most)
            )
            connection = stack.enter_context(client(relay))
            assert send(connection, "one@x") == OK
            [session] = relay._smtpd_upstream.sessions
            child = os.fork()
            if not child:
                status = 1
                try:
                    status = deliver_in_child(relay, session, loop)
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            assert send(connection, "three@x") == OK
            assert [session] == list(relay._smtpd_upstream.sessions)
        assert server.connections == 2
        assert recipients(server) == ["one@x", "two@x", "three@x"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("waits_for", ["name", "greeting"])
def test_a_forked_child_delivers_nothing_of_its_parent_s(
    waits_for: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()

    def look_up() -> None:
        if waits_for == "name":
            held(None)

    def greet(argument: Any) -> None:
        del server.script["greeting"]
        held(argument)

    look_up_by_name(monkeypatch, look_up)
    with upstream({"greeting": greet} if waits_for == "greeting" else {}) as server:
        remoteaddr = ("up.example", server.address[1])
        settings = {"upstream_sessions": 1}
        with relaying(remoteaddr, **settings) as relay, client(relay) as connection:
            hand_over(connection, "one@x")
            assert held.asked.wait(PATIENCE)
            until(lambda: relay._smtpd_upstream.queue)
            child = os.fork()
            if not child:
                status = 1
                try:
                    waits_for = "nothing"
                    status = deliver_in_child(relay, None, smtpd_compat.loop)
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            assert recipients(server) == ["two@x"]
            held.released.set()
            assert connection.getreply() == OK
        assert recipients(server) == ["two@x", "one@x"]


def deliver_in_child(relay: Any, session: Any, loop: Any) -> int:
    """Deliver a message by the relay of the parent, which has a session."""
    assert session not in relay._map.values()
    relay.close()
    relay._map.clear()
    outcomes: list[Any] = []
    message = Message("a@b", ["two@x"], b"text")
    job = _pool.Job(message, lambda *outcome: outcomes.append(outcome), None)
    relay._smtpd_pool().submit(job)
    for _ in range(PATIENCE):
        if not outcomes:
            loop(timeout=1, map=relay._map, count=1)
    return int(outcomes[0][0]["two@x"][0] != 250)


# Many at once


def crowd(relay: Any, size: int) -> list[Any]:
    """The replies to messages that as many clients send at once."""
    replies: list[Any] = []

    def run(number: int) -> None:
        try:
            with client(relay) as connection:
                replies.append(send(connection, f"user{number}@x"))
        except OSError as error:
            replies.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def test_an_upstream_that_ends_a_kept_session_still_gets_as_many() -> None:
    """That is not a sign of too many, as it is where a new one is not greeted."""
    held = Held()
    script: Any = {"end of data": held}
    with upstream(script) as server:
        with relaying(server.address) as relay, client(relay) as one:
            hand_over(one, "one@x")
            assert held.asked.wait(PATIENCE)
            server.script["end of data"] = Turns(["250 taken", CLOSE])
            with client(relay) as two:
                assert send(two, "two@x") == OK
                until(lambda: len(relay._smtpd_upstream.sessions) == 1)
                assert send(two, "three@x") == OK
            held.released.set()
            assert one.getreply() == OK
        assert server.connections == 3


@pytest.mark.parametrize("reply", ["554 no", "421 no", CLOSE, "nonsense"])
@pytest.mark.parametrize("step", ["greeting", "EHLO"])
def test_a_session_that_is_not_greeted_leaves_the_socket_map(
    step: str, reply: str
) -> None:
    with upstream({step: reply, "HELO": reply}) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection)[0] in (451, 554)
            assert not any(
                isinstance(each, _upstream.Session) for each in relay._map.values()
            )


def test_an_upstream_that_greets_nobody_is_heard_by_all_that_wait() -> None:
    held = Held()

    def refuse(argument: Any) -> str:
        held(argument)
        return "554 no"

    with upstream({"greeting": refuse}) as server:
        with relaying(server.address) as relay:
            with client(relay) as one, client(relay) as two:
                hand_over(one)
                hand_over(two)
                until(lambda: len(relay._smtpd_upstream.sessions) == 2)
                held.released.set()
                assert one.getreply() == two.getreply() == (554, b"no")
        assert server.connections == 2


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ({"greeting": "554 no"}, "SMTPConnectError"),
        ({"greeting": CLOSE}, "SMTPServerDisconnected"),
        ({"EHLO": "502 no", "HELO": "504 no"}, "SMTPHeloError"),
        ({"EHLO": "nonsense"}, "SMTPServerDisconnected"),
        ({"MAIL": "452 no"}, "SMTPSenderRefused"),
        ({"MAIL": CLOSE}, "SMTPServerDisconnected"),
        ({"DATA": "452 no"}, "SMTPDataError"),
    ],
)
def test_why_a_message_was_not_taken_is_printed(
    script: Any, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = io.StringIO()
    with upstream(script) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
            assert send(connection) != OK
    assert f"got <class 'smtplib.{printed}'>\n" in trace.getvalue()


def test_messages_wait_for_upstream_side_by_side_and_without_threads() -> None:
    """Upstream answers nobody before all are there."""
    everybody = threading.Barrier(100)
    names: set[str] = set()

    def when_all_are_here(accepted: object) -> None:
        names.update(thread.name for thread in threading.enumerate())
        everybody.wait(PATIENCE)

    with upstream({"end of data": when_all_are_here}) as server:
        with relaying(server.address) as relay:
            assert crowd(relay, 100) == [OK] * 100
        assert sorted(recipients(server)) == sorted(f"user{n}@x" for n in range(100))
    assert not [name for name in names if "worker" in name]


def test_a_class_that_allows_no_session_gets_one() -> None:
    with upstream() as server:
        with relaying(server.address, upstream_sessions=0) as relay:
            with client(relay) as one, client(relay) as two:
                assert send(one) == send(two) == OK
        assert server.connections == 1


def test_no_more_sessions_are_opened_than_a_class_allows() -> None:
    with upstream() as server:
        with relaying(server.address, upstream_sessions=3) as relay:
            assert crowd(relay, 30) == [OK] * 30
        assert server.connections <= 3
        assert len(server.messages) == 30


@pytest.mark.parametrize("reply", [SILENT, "421 too many", "554 too many", CLOSE])
@pytest.mark.parametrize("step", ["greeting", "EHLO"])
def test_an_upstream_that_greets_few_gets_all_through_those(
    step: str, reply: str
) -> None:
    """Messages are not bound to connections that have not been greeted."""
    script: dict[str, Any] = {step: Turns(None, None, *[reply] * 100)}
    if step == "EHLO":
        script["HELO"] = reply
    with upstream(script) as server:
        with relaying(server.address) as relay:
            with client(relay) as one, client(relay) as two:
                assert send(one) == send(two) == OK
                server.wait_for(lambda: server.connections)
            held = Held()
            server.script["end of data"] = held
            threading.Thread(target=held.released.set).start()
            assert crowd(relay, 20) == [OK] * 20
        assert len(server.messages) == 22


def test_no_message_is_lost_or_doubled_where_upstream_fails_at_random_steps() -> None:
    """Acknowledged is delivered, once; only a lost reply to the data may double."""
    lock = threading.Lock()
    counts: collections.Counter[str] = collections.Counter()

    def fails_at(step: str) -> Any:
        def reply(argument: Any) -> Any:
            with lock:
                counts[step] += 1
                return CLOSE if counts[step] % 7 == 0 else None

        return reply

    steps = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "end of data")
    with upstream({step: fails_at(step) for step in steps}) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            acknowledged = []
            for number in range(200):
                if send(connection, f"user{number}@x") == OK:
                    acknowledged.append(f"user{number}@x")
        assert recipients(server) == acknowledged
        assert len(acknowledged) > 100


def test_a_client_may_send_one_message_right_after_another() -> None:
    transaction = b"MAIL FROM:<a@x>\r\nRCPT TO:<%b@x>\r\nDATA\r\n%b\r\n.\r\n"
    with upstream() as server:
        with relaying(server.address) as relay, client(relay) as connection:
            connection.send(
                b"".join(transaction % (name, name) for name in (b"one", b"two"))
            )
            codes = [connection.getreply()[0] for _ in range(8)]
        assert codes == [250, 250, 354, 250] * 2
        assert recipients(server) == ["one@x", "two@x"]
        assert server.connections == 1


# What waits


def test_more_messages_than_may_wait_are_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = io.StringIO()
    monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
    held = Held()
    with upstream({"end of data": held}) as server:
        settings = {"upstream_sessions": 1, "upstream_queue": 1}
        with relaying(server.address, **settings) as relay:
            with client(relay) as one, client(relay) as two, client(relay) as three:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                hand_over(two, "two@x")
                until(lambda: relay._smtpd_upstream.queue)
                assert send(three, "three@x") == UNAVAILABLE
                held.released.set()
                assert one.getreply() == two.getreply() == OK
        assert recipients(server) == ["one@x", "two@x"]
    # Nothing has failed that would be printed.
    assert "\ngot " not in trace.getvalue()


@LOOPS
def test_of_several_that_wait_those_that_have_waited_for_too_long_go(loop: Any) -> None:
    held = Held()
    with upstream({"end of data": held}) as server:
        settings = {
            "upstream_sessions": 1,
            "upstream_queue": 3,
            "upstream_queue_timeout": PATIENCE,
        }
        with relaying(server.address, loop, **settings) as relay:
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(client(relay)) for _ in range(5)]
                hand_over(clients[0], "0@x")
                assert held.asked.wait(PATIENCE)
                pool = relay._smtpd_upstream
                for number in (1, 2, 3):
                    hand_over(clients[number], f"{number}@x")
                    until(lambda n=number: len(pool.queue) == n)
                pool.queue[0].since -= PATIENCE
                pool.queue[1].since -= PATIENCE
                held.released.set()
                replies = [connection.getreply() for connection in clients[:4]]
                assert send(clients[4], "4@x") == OK
        assert replies == [OK, UNAVAILABLE, UNAVAILABLE, OK]
        assert recipients(server) == ["0@x", "3@x", "4@x"]


def test_the_alarm_is_for_the_message_that_has_waited_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_pool.Pool, "watch_clock", lambda self: None)
    server = SimpleNamespace(
        _remoteaddr=("up.example", 25), _map={}, upstream_queue_timeout=10.0
    )
    pool = _pool.Pool(server)
    failed: list[str] = []
    for number in range(3):
        message = Message("a@b", [f"{number}@x"], b"")
        job = _pool.Job(message, lambda outcome, *_: failed.extend(outcome), None)
        job.since = 100.0 + number
        pool.queue.append(job)
    pool.expire_queue(105.0)
    assert (failed, pool.alarm) == ([], 110.0)
    pool.sweep(111.0)
    assert (failed, pool.alarm) == (["0@x", "1@x"], 112.0)
    pool.sweep(112.0)
    assert (failed, pool.alarm) == (["0@x", "1@x", "2@x"], None)


def test_where_the_only_session_breaks_off_those_that_wait_get_another() -> None:
    held = Held()

    def close_when_released(argument: Any) -> str:
        del server.script["end of data"]
        held(argument)
        return CLOSE

    with upstream({"end of data": close_when_released}) as server:
        with relaying(server.address, upstream_sessions=1) as relay:
            with client(relay) as one, client(relay) as two:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                hand_over(two, "two@x")
                until(lambda: relay._smtpd_upstream.queue)
                held.released.set()
                assert one.getreply() == UNAVAILABLE
                assert two.getreply() == OK
        assert server.connections == 2


def test_a_message_that_is_sent_once_more_is_sent_before_those_that_wait() -> None:
    held = Held()

    with upstream() as server:
        with relaying(server.address, upstream_sessions=1) as relay:
            with client(relay) as one, client(relay) as two, client(relay) as three:
                assert send(one, "zero@x") == OK
                server.script["MAIL"] = closing_when_released(server, held)
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                for waiting, name in ((two, "two"), (three, "three")):
                    hand_over(waiting, f"{name}@x")
                    until(lambda: relay._smtpd_upstream.queue)
                until(lambda: len(relay._smtpd_upstream.queue) == 2)
                held.released.set()
                for connection in (one, two, three):
                    assert connection.getreply() == OK
        assert recipients(server) == ["zero@x", "one@x", "two@x", "three@x"]


@pytest.mark.parametrize("patience", [PATIENCE, None])
@LOOPS
def test_a_message_does_not_wait_for_ever(loop: Any, patience: Any) -> None:
    held = Held()
    with upstream({"end of data": held}) as server:
        settings = {
            "upstream_sessions": 1,
            "upstream_timeout": patience,
        }
        with relaying(server.address, loop, **settings) as relay:
            with client(relay) as one, client(relay) as two:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                relay.upstream_queue_timeout = 0.1
                assert send(two, "two@x") == UNAVAILABLE
                held.released.set()
                assert one.getreply() == OK
        assert recipients(server) == ["one@x"]


@LOOPS
def test_a_message_may_wait_for_ever_where_a_class_says_so(loop: Any) -> None:
    held = Held()
    with upstream({"end of data": held}) as server:
        settings = {"upstream_sessions": 1, "upstream_queue_timeout": None}
        with relaying(server.address, loop, **settings) as relay:
            with client(relay) as one, client(relay) as two:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                hand_over(two, "two@x")
                until(lambda: relay._smtpd_upstream.queue)
                held.released.set()
                assert one.getreply() == two.getreply() == OK
        assert recipients(server) == ["one@x", "two@x"]


def test_any_number_of_messages_that_wait_can_fail_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhausted(self: Any, *args: Any) -> None:
        raise OSError(errno.EMFILE, "no descriptors")

    monkeypatch.setattr(_pool.Pool, "watch_clock", lambda self: None)
    monkeypatch.setattr(_upstream.Session, "create_socket", exhausted)
    server = SimpleNamespace(
        _remoteaddr=("127.0.0.1", 25),
        _map={},
        upstream_sessions=1,
        upstream_queue_timeout=10.0,
    )
    pool = _pool.Pool(server)
    failed: list[str] = []
    for number in range(1000):
        message = Message("a@b", [f"{number}@x"], b"")
        pool.queue.append(_pool.Job(message, lambda of, *_: failed.extend(of), None))
    pool.pump(time.monotonic())
    assert failed == [f"{number}@x" for number in range(1000)]
    assert not pool.sessions


@pytest.mark.parametrize(
    ("has_poll", "unread"),
    [(True, b""), (True, b"QUIT\r\n"), (False, b"")],
    ids=["poll", "poll, unread", "peek"],
)
def test_a_message_whose_client_has_left_is_not_sent(
    has_poll: bool, unread: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if unread and not hasattr(select, "POLLRDHUP"):
        pytest.skip("nothing here tells of an end that comes after something unread")
    monkeypatch.setattr(_pool, "_PATIENCE", 0.0)
    if not has_poll:
        monkeypatch.delattr(select, "POLLRDHUP", raising=False)
    held = Held()
    with upstream({"end of data": held}) as server:
        with relaying(server.address, upstream_sessions=1) as relay:
            with client(relay) as one, client(relay) as patient:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                gone = smtplib.SMTP(*address(relay), timeout=PATIENCE)
                gone.ehlo("client.example")
                hand_over(gone, "gone@x")
                until(lambda: len(relay._smtpd_upstream.queue) == 1)
                hand_over(patient, "patient@x")
                until(lambda: len(relay._smtpd_upstream.queue) == 2)
                gone.send(unread)
                gone.close()
                held.released.set()
                assert one.getreply() == patient.getreply() == OK
                until(lambda: len(channels(relay)) == 2)
        assert recipients(server) == ["one@x", "patient@x"]


def test_a_message_whose_client_has_left_is_not_sent_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_pool, "_PATIENCE", 0.0)
    held = Held()

    with upstream() as server:
        with relaying(server.address) as relay, client(relay) as patient:
            assert send(patient, "one@x") == OK
            server.script["MAIL"] = closing_when_released(server, held)
            gone = smtplib.SMTP(*address(relay), timeout=PATIENCE)
            gone.ehlo("client.example")
            hand_over(gone, "gone@x")
            assert held.asked.wait(PATIENCE)
            gone.close()
            held.released.set()
            until(lambda: relay._smtpd_upstream.idle)
            assert send(patient, "two@x") == OK
        assert recipients(server) == ["one@x", "two@x"]
        assert server.verbs().count("MAIL") == 3


def test_a_client_that_ends_its_side_has_left_if_it_has_waited_half_a_second() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)  # as the socket of a channel is
    with here, there:
        waiting = _pool.Waiting(here)
        waiting.begin()
        assert not waiting.is_gone(waiting.since + 0.6)
        there.shutdown(socket.SHUT_WR)
        assert not waiting.is_gone(waiting.since + 0.4)
        assert waiting.is_gone(waiting.since + 0.6)
        waiting.begin()
        assert not waiting.is_gone(waiting.since + 0.6)


@pytest.mark.parametrize("cls", [Relay, InWorkers], ids=["loop", "workers"])
def test_a_client_that_sends_all_it_has_and_then_only_reads_is_served(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_STALL(self, arg: Any) -> None:
            stalled(arg)

    monkeypatch.setattr(_pool, "_PATIENCE", 0.0)
    held, stalled = Held(), Held()
    settings = {"upstream_sessions": 1, "channel_class": Channel}
    with upstream({"end of data": held}) as server:
        with relaying(server.address, cls=cls, **settings) as relay:
            with client(relay) as one, client(relay) as other:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                other.send(b"STALL\r\n")
                assert stalled.asked.wait(PATIENCE)
                with socket.create_connection(address(relay), PATIENCE) as script:
                    script.sendall(
                        b"HELO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<script@x>\r\nDATA\r\n"
                        + MESSAGE
                        + b".\r\nQUIT\r\n"
                    )
                    script.shutdown(socket.SHUT_WR)
                    stalled.released.set()
                    if cls is Relay:
                        until(lambda: relay._smtpd_upstream.queue)
                    else:
                        until(lambda: relay._smtpd_workers._in_hand == 2)
                    held.released.set()
                    with script.makefile("rb") as replies:
                        heard = replies.read()
                assert one.getreply() == OK
        assert recipients(server) == ["one@x", "script@x"]
    assert [line[:3] for line in heard.splitlines()[-2:]] == [b"250", b"221"]


def test_a_message_whose_client_has_left_is_not_sent_by_workers_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_pool, "_PATIENCE", 0.0)
    held = Held()
    with upstream({"end of data": held}) as server:
        with relaying(server.address, cls=InWorkers) as relay:
            with client(relay) as one, client(relay) as patient:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                gone = smtplib.SMTP(*address(relay), timeout=PATIENCE)
                gone.ehlo("client.example")
                hand_over(gone, "gone@x")
                until(lambda: relay._smtpd_workers._in_hand == 2)
                hand_over(patient, "patient@x")
                until(lambda: relay._smtpd_workers._in_hand == 3)
                gone.close()
                held.released.set()
                assert one.getreply() == patient.getreply() == OK
        assert recipients(server) == ["one@x", "patient@x"]


def test_a_message_that_has_waited_for_a_worker_for_too_long_is_not_sent() -> None:
    held = Held()
    with upstream({"end of data": held}) as server:
        settings = {"cls": InWorkers, "upstream_queue_timeout": 0.0}
        with relaying(server.address, **settings) as relay, client(relay) as connection:
            assert send(connection) == UNAVAILABLE
        assert server.commands == []


def test_a_client_that_leaves_while_its_message_is_delivered_breaks_nothing() -> None:
    held = Held()
    with upstream({"end of data": held}) as server:
        with relaying(server.address) as relay:
            gone = smtplib.SMTP(*address(relay), timeout=PATIENCE)
            gone.ehlo("client.example")
            hand_over(gone, "gone@x")
            assert held.asked.wait(PATIENCE)
            gone.close()
            held.released.set()
            until(lambda: relay._smtpd_upstream.idle)
            with client(relay) as connection:
                assert send(connection) == OK
        assert recipients(server) == ["gone@x", "to@x"]


# Time


@LOOPS
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "DATA", "end of data"])
def test_a_late_reply_is_not_waited_for_in_any_loop(step: str, loop: Any) -> None:
    with upstream({step: [Cut("250-"), SILENT]}) as server:
        with relaying(server.address, loop, upstream_timeout=0.1) as relay:
            with client(relay) as connection:
                expected = OK if step == "end of data" else UNAVAILABLE
                assert send(connection) == expected
                assert connection.noop()[0] == 250


@LOOPS
def test_an_upstream_that_does_not_accept_in_time_is_not_there(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unanswered(_upstream.Session):
        def writable(self) -> bool:
            return False

    monkeypatch.setattr(_pool, "Session", Unanswered)
    with upstream() as server:
        with relaying(server.address, loop, upstream_timeout=0.1) as relay:
            with client(relay) as connection:
                assert send(connection) == UNAVAILABLE


@pytest.mark.parametrize("step", ["MAIL", "queue", "keep"])
def test_asyncores_loop_does_not_sleep_through_a_time_out(step: str) -> None:
    """It waits for 30 seconds when nothing happens; this client, for less."""
    held = Held()
    settings: Any = {
        "MAIL": {"upstream_timeout": 0.1},
        "queue": {"upstream_sessions": 1},
        "keep": {"upstream_keep": 0.1, "upstream_timeout": None},
    }[step]
    relay_class = type("Relay", (Relay,), settings)
    script = {"MAIL": SILENT} if step == "MAIL" else {"end of data": held}
    with upstream(script) as server, serving(relay_class, server.address) as relay:
        with smtplib.SMTP(*address(relay), timeout=10) as impatient:
            impatient.ehlo("client.example")
            if step == "queue":
                with client(relay) as one:
                    hand_over(one)
                    assert held.asked.wait(PATIENCE)
                    relay.upstream_queue_timeout = 0.1
                    assert send(impatient) == UNAVAILABLE
                    held.released.set()
                    assert one.getreply() == OK
            else:
                held.released.set()
                assert send(impatient) == (UNAVAILABLE if step == "MAIL" else OK)
                if step == "keep":
                    server.wait_for(lambda: "QUIT" in server.verbs(), 10)


def clocks() -> list[threading.Thread]:
    """The threads that sleep until something is due."""
    return [
        thread for thread in threading.enumerate() if thread.name.endswith("worker")
    ]


@LOOPS
def test_one_thread_sleeps_for_all_sessions_and_only_in_asyncores_loop(
    loop: Any,
) -> None:
    held = Held()
    with upstream({"end of data": held}) as server:
        with relaying(server.address, loop) as relay, client(relay) as connection:
            with client(relay) as one, client(relay) as two:
                hand_over(one, "one@x")
                hand_over(two, "two@x")
                until(lambda: len(relay._smtpd_upstream.sessions) == 2)
                assert held.asked.wait(PATIENCE)
                assert connection.noop()[0] == 250  # so the loop has turned again
                assert len(clocks()) == (loop is not smtpd_compat.loop)
                held.released.set()
                assert one.getreply() == two.getreply() == OK


def test_without_a_thread_to_sleep_a_later_turn_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = []

    def start(self: threading.Thread) -> None:
        if self.name.endswith("worker") and not refused:
            refused.append(self)
            raise RuntimeError("can't start new thread")
        started(self)

    started = threading.Thread.start
    with upstream({"MAIL": SILENT}) as server:
        settings: Any = {"upstream_timeout": 0.1, "upstream_queue_timeout": None}
        with relaying(server.address, asyncore.loop, **settings) as relay:
            with client(relay) as connection:
                begin(connection)
                monkeypatch.setattr(threading.Thread, "start", start)
                assert connection.data(MESSAGE) == UNAVAILABLE
    assert refused


def test_a_session_that_has_been_kept_for_too_long_is_not_used() -> None:
    """Its end may be due, and not be noticed yet."""
    with upstream() as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == OK
            relay._smtpd_upstream.idle[0].deadline = 0.0
            assert send(connection) == OK
            server.wait_for(lambda: "QUIT" in server.verbs())
            assert len(relay._smtpd_upstream.sessions) == 1
        assert server.connections == 2


def test_addresses_that_upstream_does_not_take_leave_the_session_in_use() -> None:
    with upstream() as server:
        with relaying(server.address, upstream_sessions=1) as relay:
            with client(relay) as connection:
                for _ in range(3):
                    connection.mail("from@x")
                    connection.send("RCPT TO:<zoë@x>\r\n".encode())
                    assert connection.getreply()[0] == 250
                    assert connection.data(MESSAGE)[0] == 553
                assert send(connection) == OK
        assert server.connections == 1
        assert server.verbs().count("MAIL") == 1


def test_a_failure_of_our_own_is_logged_and_451(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = []

    class Logging(Relay):
        def log_info(self, message: str, type: str = "info") -> None:
            assert type == "error"
            logged.append(message)

    def fail(self: Any, octets: bytes) -> None:
        if octets:
            raise ValueError("a mistake")
        receive(self, octets)

    receive = _upstream.Conversation.receive
    monkeypatch.setattr(_upstream.Conversation, "receive", fail)
    with upstream() as server:
        with relaying(server.address, cls=Logging) as relay:
            with client(relay) as connection:
                assert send(connection) == UNAVAILABLE
                assert connection.noop()[0] == 250
    assert logged[0].startswith("uncaptured python exception, keeping channel ")
    assert "a mistake" in logged[0]


def test_where_select_can_hold_no_more_sockets_the_client_hears_451(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_upstream, "select_cannot_hold", lambda *_: True)
    with upstream() as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == UNAVAILABLE


@contextlib.contextmanager
def full_mailbox() -> Iterator[Any]:
    """An upstream that refuses a message in its middle, and closes the connection."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            conn, _ = listener.accept()
            with conn, conn.makefile("rb") as lines:
                conn.sendall(b"220 up\r\n")
                for reply in (b"250 up", b"250 OK", b"250 OK", b"354 go on"):
                    lines.readline()
                    conn.sendall(reply + b"\r\n")
                lines.read(1_000_000)
                conn.sendall(b"552 too big\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            thread.join()


@pytest.mark.parametrize("overrides", [False, True], ids=["loop", "blocking"])
def test_what_upstream_says_before_it_resets_the_connection_is_heard(
    overrides: bool,
) -> None:
    body = b"Subject: x\r\n\r\n" + (b"x" * 98 + b"\r\n") * 120_000
    with full_mailbox() as remoteaddr:
        with relaying(remoteaddr, cls=Blocking if overrides else Relay) as relay:
            with client(relay) as connection:
                assert send(connection, message=body) == (552, b"too big")


@pytest.mark.parametrize("reply", [None, SILENT])
def test_a_session_that_leaves_does_not_wait_for_the_reply(reply: Any) -> None:
    with upstream({"QUIT": reply}) as server:
        with relaying(server.address, upstream_keep=0.05) as relay:
            with client(relay) as connection:
                assert send(connection) == OK
                server.wait_for(lambda: "QUIT" in server.verbs())
                assert connection.noop() == OK  # the step that said QUIT is over
                assert not relay._smtpd_upstream.sessions
                assert not any(
                    isinstance(each, _upstream.Session) for each in relay._map.values()
                )


def breaking_at(command: bytes) -> Any:
    """A class of sockets whose connections break when *command* is to be sent."""

    class SendsNoMore(socket.socket):
        def send(self, data: Any, *args: Any) -> int:
            if bytes(data).startswith(command):
                raise ConnectionResetError(errno.ECONNRESET, "reset")
            return super().send(data, *args)

    def create_socket(self: Any, *args: Any) -> None:
        sock = SendsNoMore(*args)
        sock.setblocking(False)
        self.set_socket(sock)

    return create_socket


def test_a_session_that_cannot_take_leave_any_more_goes_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_upstream.Session, "create_socket", breaking_at(b"QUIT"))
    with upstream() as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == OK
            relay._smtpd_upstream.idle[0].deadline = 0.0
            assert send(connection) == OK
        assert server.connections == 2
        assert "QUIT" not in server.verbs()
    assert capsys.readouterr().out == ""


def test_a_large_message_may_take_longer_than_a_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every time something is sent, two thirds of the time-out have passed."""
    now = [time.monotonic()]

    class Slow(socket.socket):
        def send(self, data: Any, *args: Any) -> int:
            if len(data) > 1000:
                now[0] += 200.0
            return super().send(data, *args)

    def create_socket(self: Any, *args: Any) -> None:
        sock = Slow(*args)
        sock.setblocking(False)
        self.set_socket(sock)

    clock.tell(monkeypatch, lambda: now[0])
    for module in (_pool, _upstream):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(_upstream.Session, "create_socket", create_socket)
    body = b"Subject: x\r\n\r\n" + (b"x" * 98 + b"\r\n") * 3000
    with upstream() as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection, message=body) == OK
        assert len(server.messages) == 1


def test_a_connection_that_breaks_in_the_middle_is_nothing_to_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged: list[str] = []

    class Logging(Relay):
        def log_info(self, message: str, type: str = "info") -> None:
            logged.append(message)

    with upstream() as server:
        with relaying(server.address, cls=Logging) as relay:
            with client(relay) as connection:
                with monkeypatch.context() as patch:
                    breaking = breaking_at(b"DATA")
                    patch.setattr(_upstream.Session, "create_socket", breaking)
                    assert send(connection) == UNAVAILABLE
                assert send(connection) == OK
        assert len(server.messages) == 1
    assert logged == []


@pytest.mark.parametrize("step", ["greeting", "MAIL", "end of data"])
def test_a_connection_that_upstream_resets_is_nothing_to_log(
    step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with upstream({step: Turns(RESET)}) as server:
        with relaying(server.address) as relay, client(relay) as connection:
            assert send(connection) == UNAVAILABLE
            assert send(connection) == OK
    assert capsys.readouterr().out == ""


def test_reading_a_large_message_slowly_is_no_silence() -> None:
    """The deadline moves with every piece that upstream takes."""
    body = b"Subject: x\r\n\r\n" + b"..\r\n" * 200_000
    with upstream() as server:
        with relaying(server.address, upstream_timeout=PATIENCE) as relay:
            with client(relay) as connection, client(relay) as other:
                begin(connection)
                assert connection.docmd("DATA")[0] == 354
                connection.send(body.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                assert other.noop()[0] == 250
                assert connection.getreply() == OK
        [message] = server.messages
    header = b"\r\nX-Peer: 127.0.0.1\r\n\r\n"
    assert message.data == body.replace(b"\r\n\r\n", header, 1)


# Names


@LOOPS
def test_a_message_does_not_wait_longer_for_a_name_either(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    look_up_by_name(monkeypatch, lambda: held(None))
    with upstream() as server:
        settings = {"upstream_queue_timeout": 0.1}
        remoteaddr = ("up.example", server.address[1])
        with relaying(remoteaddr, loop, **settings) as relay:
            with client(relay) as connection:
                assert send(connection) == UNAVAILABLE
                held.released.set()
                until(lambda: not relay._smtpd_upstream._is_busy)
                assert send(connection) == OK
        assert len(server.messages) == 1


def test_a_name_is_looked_up_while_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Held()

    def look_up() -> None:
        lookups.append(threading.current_thread())
        held(None)

    lookups: list[Any] = []
    look_up_by_name(monkeypatch, look_up)
    with upstream() as server:
        with relaying(("up.example", server.address[1])) as relay:
            with client(relay) as one, client(relay) as two, client(relay) as other:
                hand_over(one)
                assert held.asked.wait(PATIENCE)
                hand_over(two)
                until(lambda: len(relay._smtpd_upstream.queue) == 2)
                assert other.noop()[0] == 250
                held.released.set()
                assert one.getreply() == two.getreply() == OK
    assert len(lookups) == 1


@pytest.mark.parametrize(
    "remoteaddr",
    [
        ("no-such-host.invalid", 25),
        ("a" * 70 + ".invalid", 25),
        ("127.0.0.1", 70000),
        ("127.0.0.1", 1 << 70),
        ("127.0.0.1", -1),
        ("255.255.255.255", 25),
        ("127.0.0.1:x", 0),
        ("127.0.0.1", "25x"),
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [Relay, Blocking], ids=["loop", "blocking"])
def test_an_address_that_nobody_can_have_is_451(
    remoteaddr: Any, cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = io.StringIO()
    with relaying(remoteaddr, cls=cls) as relay, client(relay) as connection:
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
        assert send(connection) == UNAVAILABLE
        assert send(connection) == UNAVAILABLE
    got = [line for line in trace.getvalue().splitlines() if line.startswith("got")]
    assert len(got) == 2
    assert "smtplib" not in got[0]


@LOOPS
def test_a_name_is_looked_up_while_a_thread_sleeps_until_something_is_due(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up_by_name(monkeypatch)
    held = Held()
    with upstream({"end of data": held}) as server:
        with relaying(("up.example", server.address[1]), loop) as relay:
            with client(relay) as one, client(relay) as two:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                del server.script["end of data"]
                assert send(two, "two@x") == OK
                held.released.set()
                assert one.getreply() == OK
        assert server.connections == 2


@LOOPS
def test_a_name_is_looked_up_again_when_all_sessions_have_ended(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up_by_name(monkeypatch)
    with upstream({"end of data": ["250 taken", CLOSE]}) as server:
        remoteaddr = ("up.example", server.address[1])
        with relaying(remoteaddr, loop) as relay, client(relay) as connection:
            for _ in range(3):
                assert send(connection) == OK
                until(lambda: not relay._smtpd_upstream.sessions)
        assert len(server.messages) == server.connections == 3


def test_the_port_may_stand_beside_the_host_as_smtplib_has_it() -> None:
    with upstream() as server:
        beside = "{}:{}".format(*server.address)
        with relaying((beside, 0)) as relay, client(relay) as connection:
            assert send(connection) == OK
            assert relay._deliver("from@x", ["to@x"], "x") == {}
        assert len(server.messages) == 2


def have_addresses(monkeypatch: pytest.MonkeyPatch, *numbers: Any) -> None:
    """Let ``up.example`` have these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in numbers]
    lookup = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **kwargs: (
            found if host == "up.example" else lookup(host, *args, **kwargs)
        ),
    )


@pytest.mark.parametrize("cls", [Relay, Blocking], ids=["loop", "blocking"])
def test_every_address_of_a_name_is_tried(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody, upstream() as server:
        nobody.bind(("127.0.0.1", 0))
        have_addresses(monkeypatch, nobody.getsockname(), server.address)
        with relaying(("up.example", 25), cls=cls) as relay:
            with client(relay) as connection:
                assert send(connection) == OK


@pytest.mark.parametrize("cls", [Relay, Blocking], ids=["loop", "blocking"])
def test_the_addresses_of_a_name_are_tried_in_their_order(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is that in which the system prefers them."""
    with upstream() as first, upstream() as second:
        have_addresses(monkeypatch, first.address, second.address)
        with relaying(("up.example", 25), cls=cls) as relay:
            with client(relay) as connection:
                assert send(connection) == OK
        assert (len(first.messages), len(second.messages)) == (1, 0)


def connecting_with(*codes: int) -> Any:
    """A class of sockets of which the N-th gets the N-th code when it connects.

    A code of a failure is all that it gets.
    """
    left = list(codes)

    class Connects(socket.socket):
        def connect_ex(self, where: Any) -> int:
            code = left.pop(0)
            if code in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                if code == 0:
                    self.setblocking(True)
                super().connect_ex(where)
                self.setblocking(False)
            return code

    def create_socket(self: Any, *args: Any) -> None:
        sock = Connects(*args)
        sock.setblocking(False)
        self.set_socket(sock)

    return create_socket


@LOOPS
@pytest.mark.parametrize("code", [0, errno.EINPROGRESS, errno.EWOULDBLOCK])
def test_a_connection_may_be_there_at_once_or_later(
    code: int, loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_upstream.Session, "create_socket", connecting_with(code))
    with upstream() as server:
        with relaying(server.address, loop) as relay, client(relay) as connection:
            assert send(connection) == OK


def test_an_address_that_fails_at_once_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes = (errno.ENETUNREACH, errno.EINPROGRESS)
    monkeypatch.setattr(_upstream.Session, "create_socket", connecting_with(*codes))
    with upstream() as first, upstream() as second:
        have_addresses(monkeypatch, first.address, second.address)
        with relaying(("up.example", 25)) as relay, client(relay) as connection:
            assert send(connection) == OK
        assert (len(first.messages), len(second.messages)) == (0, 1)


def test_an_address_that_refuses_is_tried_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    once = connecting_with(errno.ECONNREFUSED)
    monkeypatch.setattr(_upstream.Session, "create_socket", once)
    with relaying(("127.0.0.1", 9)) as relay, client(relay) as connection:
        assert send(connection) == UNAVAILABLE
    assert capsys.readouterr().out == ""


def test_why_the_last_address_failed_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = io.StringIO()
    codes = (errno.ENETUNREACH, errno.ECONNREFUSED)
    monkeypatch.setattr(_upstream.Session, "create_socket", connecting_with(*codes))
    have_addresses(monkeypatch, ("127.0.0.1", 9), ("127.0.0.1", 9))
    with relaying(("up.example", 25)) as relay, client(relay) as connection:
        monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
        assert send(connection) == UNAVAILABLE
    assert "got <class 'ConnectionRefusedError'>\n" in trace.getvalue()


@pytest.mark.parametrize("cls", [Relay, Blocking], ids=["loop", "blocking"])
def test_upstream_gets_each_command_without_delay(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system would hold back what follows something that is not acknowledged."""
    delays: dict[Any, bool] = {}

    class Noting(socket.socket):
        def send(self, *args: Any) -> int:
            delay = not self.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            delays[self.getpeername()] = delay
            return super().send(*args)

    monkeypatch.setattr(socket, "socket", Noting)
    with upstream() as server:
        with relaying(server.address, cls=cls) as relay, client(relay) as connection:
            assert send(connection) == OK
    assert delays[server.address] is False


@pytest.mark.parametrize("patience", [PATIENCE, None])
def test_a_refused_connection_is_printed_and_is_nothing_to_log(
    patience: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = io.StringIO()
    with nobody_listening() as nowhere:
        with relaying(nowhere, upstream_timeout=patience) as relay:
            with client(relay) as connection:
                monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
                assert send(connection) == UNAVAILABLE
                assert not relay._smtpd_upstream.sessions
    assert "got <class 'ConnectionRefusedError'>\n" in trace.getvalue()
    assert capsys.readouterr().out == ""


def test_without_a_thread_to_look_names_up_in_the_client_hears_451(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(self: Any, call: Any, answered: Any) -> None:
        raise RuntimeError("can't start new thread")

    look_up_by_name(monkeypatch)
    with upstream() as server:
        remoteaddr = ("up.example", server.address[1])
        with relaying(remoteaddr) as relay, client(relay) as connection:
            with monkeypatch.context() as patch:
                patch.setattr(WorkerPool, "submit", no_thread)
                assert send(connection) == UNAVAILABLE
                assert connection.noop()[0] == 250
            assert send(connection) == OK


@pytest.mark.parametrize("sessions", [0, 1])
def test_without_descriptors_a_message_waits_for_one_of_the_sessions_there_are(
    sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(self: Any, *args: Any) -> None:
        raise OSError(errno.EMFILE, "no descriptors")

    held = Held()
    with upstream({"end of data": held}) as server:
        with relaying(server.address) as relay:
            with client(relay) as one, client(relay) as two:
                if sessions:
                    hand_over(one)
                    assert held.asked.wait(PATIENCE)
                monkeypatch.setattr(_upstream.Session, "create_socket", exhausted)
                hand_over(two)
                if sessions:
                    until(lambda: relay._smtpd_upstream.queue)
                held.released.set()
                assert two.getreply() == (OK if sessions else UNAVAILABLE)
                if sessions:
                    assert one.getreply() == OK


# The end


class Closing(smtpd_compat.SMTPChannel):
    """A channel that closes its server, on the loop's thread."""

    def smtp_CLOSE(self, arg: Any) -> None:
        self.smtp_server.close()
        self.push("250 closed")


@LOOPS
def test_a_server_that_closes_still_answers_what_is_in_hand(loop: Any) -> None:
    held = Held()
    settings = {"upstream_sessions": 1, "channel_class": Closing}
    with upstream({"end of data": held}) as server:
        with relaying(server.address, loop, **settings) as relay:
            with client(relay) as one, client(relay) as two, client(relay) as third:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                hand_over(two, "two@x")
                until(lambda: relay._smtpd_upstream.queue)
                assert third.docmd("CLOSE")[0] == 250
                held.released.set()
                assert one.getreply() == two.getreply() == OK
                server.wait_for(lambda: "QUIT" in server.verbs())
        assert recipients(server) == ["one@x", "two@x"]
        assert server.connections == 1


@LOOPS
def test_a_loop_that_is_to_end_with_the_last_session_ends(loop: Any) -> None:
    held = Held()
    map: dict[int, Any] = {}
    with upstream({"end of data": held}) as server:
        relay = Relay(("127.0.0.1", 0), server.address, map=map)
        relay.channel_class = Closing
        serves = threading.Thread(target=loop, kwargs={"map": map})
        serves.start()
        with client(relay) as busy, client(relay) as other:
            hand_over(busy)
            assert held.asked.wait(PATIENCE)
            assert other.docmd("CLOSE")[0] == 250
            held.released.set()
            assert busy.getreply() == OK
        serves.join(PATIENCE)
    assert not serves.is_alive()
    assert map == {}


def test_a_server_that_closes_lets_go_of_sessions_that_have_nothing_to_do() -> None:
    with upstream() as server:
        with relaying(server.address, channel_class=Closing) as relay:
            with client(relay) as connection:
                assert send(connection) == OK
                assert connection.docmd("CLOSE")[0] == 250
                assert not relay._smtpd_upstream.sessions
        server.wait_for(lambda: "QUIT" in server.verbs())


def test_a_session_that_is_closed_from_outside_with_a_message_in_hand_is_451(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_STOP(self, arg: Any) -> None:
            for session in list(self.smtp_server._smtpd_upstream.sessions):
                session.close()
            self.push("250 closed")

    trace = io.StringIO()
    held = Held()
    with upstream({"end of data": held}) as server:
        with relaying(server.address, channel_class=Channel) as relay:
            with client(relay) as one, client(relay) as two:
                hand_over(one)
                assert held.asked.wait(PATIENCE)
                monkeypatch.setattr(smtpd_compat, "DEBUGSTREAM", trace)
                assert two.docmd("STOP")[0] == 250
                assert one.getreply() == UNAVAILABLE
                held.released.set()
                assert send(two) == OK
        assert server.connections == 2
    assert "got <class 'smtplib.SMTPServerDisconnected'>\n" in trace.getvalue()
    assert server.verbs().count("QUIT") == 1  # what follows half a message is no QUIT


def test_a_session_that_is_closed_before_it_is_greeted_says_nothing() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_STOP(self, arg: Any) -> None:
            asyncore.close_all(self._map, ignore_all=True)

    held = Held()
    with upstream({"greeting": held}) as server:
        with relaying(server.address, channel_class=Channel) as relay:
            with client(relay) as one, client(relay) as two:
                hand_over(one)
                assert held.asked.wait(PATIENCE)
                two.send(b"STOP\r\n")
                for connection in (one, two):
                    assert connection.sock.recv(1) == b""
                    connection.close()
                held.released.set()
    assert server.commands == []


def test_a_session_that_is_closed_from_outside_takes_leave() -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_STOP(self, arg: Any) -> None:
            for session in list(self.smtp_server._smtpd_upstream.sessions):
                session.close()
                session.close()  # there is nothing left to do
            self.push("250 closed")

    with upstream() as server:
        with relaying(server.address, channel_class=Channel) as relay:
            with client(relay) as connection:
                assert send(connection) == OK
                assert connection.docmd("STOP")[0] == 250
                server.wait_for(lambda: "QUIT" in server.verbs())
                assert send(connection) == OK
        assert server.connections == 2


@LOOPS
def test_closing_everything_starts_nothing_and_leaves_nothing(loop: Any) -> None:
    class Channel(smtpd_compat.SMTPChannel):
        def smtp_STOP(self, arg: Any) -> None:
            map = self._map
            asyncore.close_all(map, ignore_all=True)
            left.append(dict(map))

    left: list[Any] = []
    held = Held()
    settings = {"upstream_sessions": 1, "channel_class": Channel}
    with upstream({"end of data": held}) as server:
        with relaying(server.address, loop, **settings) as relay:
            with client(relay) as one, client(relay) as two, client(relay) as third:
                hand_over(one, "one@x")
                assert held.asked.wait(PATIENCE)
                hand_over(two, "two@x")
                until(lambda: relay._smtpd_upstream.queue)
                third.send(b"STOP\r\n")
                for connection in (one, two, third):
                    assert connection.sock.recv(1) == b""
                    connection.close()
                held.released.set()
        assert server.connections == 1
    assert left == [{}]


# Answers in the turn of another dispatcher


def test_a_reply_that_fails_is_that_channel_s_fault_alone() -> None:
    logged: list[str] = []

    class Failing(smtpd_compat.SMTPChannel):
        def push(self, msg: Any) -> None:
            if msg == "250 OK" and self.smtp_state == self.COMMAND and not logged:
                if self.received_data:
                    raise ValueError("in push")
            super().push(msg)

        def log_info(self, message: str, type: str = "info") -> None:
            logged.append(message)

    with upstream() as server:
        with relaying(server.address, channel_class=Failing) as relay:
            with client(relay) as connection:
                assert send(connection)[0] == 451
                assert send(connection) == OK
        assert len(server.messages) == 2
    assert "in push" in logged[0]


def test_exit_now_out_of_a_reply_leaves_the_loop() -> None:
    class Leaving(smtpd_compat.SMTPChannel):
        def push(self, msg: Any) -> None:
            if self.received_data:
                raise asyncore.ExitNow("enough")
            super().push(msg)

    relay = type("Relay", (Relay,), {"channel_class": Leaving})
    map: dict[int, Any] = {}
    with upstream() as server:
        proxy = relay(("127.0.0.1", 0), server.address, map=map)
        left = []

        def run() -> None:
            try:
                smtpd_compat.loop(map=map)
            except asyncore.ExitNow:
                left.append(True)

        thread = threading.Thread(target=run)
        thread.start()
        with smtplib.SMTP(*address(proxy), timeout=PATIENCE) as connection:
            connection.ehlo("client.example")
            hand_over(connection)
            thread.join(PATIENCE)
            asyncore.close_all(map, ignore_all=True)
            connection.close()
        assert left == [True]
        assert len(server.messages) == 1


# A relay to itself


@pytest.mark.parametrize(
    ("local", "remote"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "0.0.0.0"),
        ("localhost", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "localhost"),
        ("", "127.0.0.1"),
        ("::1", "::1"),
        ("::1", "::"),
        ("::", "127.0.0.1"),
        ("::", "::1"),
        ("127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
@pytest.mark.parametrize("cls", [smtpd_compat.PureProxy, smtpd_compat.MailmanProxy])
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_a_relay_to_itself_is_refused(
    local: str, remote: str, cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **kwargs: lookup(
            "127.0.0.1" if host == "localhost" else host, *args, **kwargs
        ),
    )
    port = free_port(local)
    map: dict[int, Any] = {}
    with pytest.raises(ValueError, match="is the address of the relay itself"):
        cls((local, port), (remote, port), map=map)
    assert map == {}


@pytest.mark.parametrize("own", [0, 1])
def test_a_relay_to_a_name_of_which_one_address_is_its_own_is_refused(
    own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port("127.0.0.1")
    addresses = [("192.0.2.1", port)]
    addresses.insert(own, ("127.0.0.1", port))
    have_addresses(monkeypatch, *addresses)
    with pytest.raises(ValueError, match="is the address of the relay itself"):
        smtpd_compat.PureProxy(("127.0.0.1", port), ("up.example", port), map={})


def test_ipv4_only_is_not_reached_by_ipv6() -> None:
    port = free_port("0.0.0.0")
    smtpd_compat.PureProxy(("0.0.0.0", port), ("::1", port), map={}).close()


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_a_relay_to_itself_is_refused_however_the_port_is_given() -> None:
    port = free_port("127.0.0.1")
    here = ("127.0.0.1", port)
    for remote in ((f"127.0.0.1:{port}", 0), ("127.0.0.1", str(port))):
        with pytest.raises(ValueError, match="is the address of the relay itself"):
            smtpd_compat.PureProxy(here, remote, map={})


def free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError:
        pytest.skip(f"no {host} here")


@pytest.mark.parametrize(
    ("local", "remote"),
    [
        (("127.0.0.1", 0), ("127.0.0.1", 0)),
        (("127.0.0.1", 0), ("127.0.0.1", 25)),
        (("127.0.0.1", 0), None),
        (("127.0.0.1", 0), ("b", 0)),
    ],
)
def test_other_addresses_are_not_the_relay_s_own(local: Any, remote: Any) -> None:
    smtpd_compat.PureProxy(local, remote, map={}).close()


@pytest.mark.parametrize("cls", [smtpd_compat.PureProxy, smtpd_compat.MailmanProxy])
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_a_handler_of_one_s_own_may_have_any_address_as_its_remote_one(
    cls: Any,
) -> None:
    class Handler(cls):  # type: ignore[misc]
        def process_message(self, *args: Any, **kwargs: Any) -> None:
            pass

    port = free_port("127.0.0.1")
    Handler(("127.0.0.1", port), ("127.0.0.1", port), map={}).close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid", "", 7])
@pytest.mark.parametrize("cls", [smtpd_compat.PureProxy, smtpd_compat.MailmanProxy])
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_a_host_that_nobody_can_be_is_no_relay_to_itself(cls: Any, host: Any) -> None:
    """It may be another one tomorrow; until then, mail for it is 451."""
    port = free_port("127.0.0.1")
    cls(("127.0.0.1", port), (host, port), map={}).close()


@pytest.mark.parametrize("local", ["0.0.0.0", "::"])
@pytest.mark.parametrize("remote", ["192.0.2.1", "2001:db8::1"])
def test_an_address_that_is_not_of_this_host_is_another_server(
    local: str, remote: str
) -> None:
    port = free_port(local)
    smtpd_compat.PureProxy((local, port), (remote, port), map={}).close()


@pytest.mark.parametrize("remote", [(), ("127.0.0.1",), (7, 0), 7, "x"])
def test_what_is_no_address_at_all_is_taken_as_ever(remote: Any) -> None:
    smtpd_compat.PureProxy(("127.0.0.1", 0), remote, map={}).close()


def test_the_same_port_elsewhere_is_another_server() -> None:
    port = free_port("127.0.0.1")
    smtpd_compat.PureProxy(("127.0.0.1", port), ("127.0.0.2", port), map={}).close()
