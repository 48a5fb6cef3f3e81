"""A short search in every run of the tests, and a look at the searcher."""

from __future__ import annotations

import random
import re

import pytest

import smtpd_compat

from . import accounts, configurations, drive, inputs
from .__main__ import main
from .search import Found, search

BANNER = b"220 x\r\n"
DATA = b"250 OK\r\n250 OK\r\n250 OK\r\n354 go\r\n"
SESSION = b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"


def test_nothing_that_a_client_sends_reaches_asyncores_error_handling() -> None:
    search(5, 1500)


def test_the_search_is_the_same_for_the_same_seed() -> None:
    def tried(seed: int) -> list[tuple[bytes, ...]]:
        rng = random.Random(seed)
        return [inputs.segments(rng) for _ in range(50)]

    assert tried(1) == tried(1)
    assert tried(1) != tried(2)


@pytest.mark.parametrize(
    "sent, heard",
    [
        (b"NOOP\r\n", BANNER),
        (b"NOOP", BANNER + b"250 OK\r\n"),
        (b"NOOP\r\n", BANNER + b"250 OK\r\n250 OK\r\n"),
        (b"NOOP\r\n", BANNER + b"250-OK\r\n"),
        (b"NOOP\r\n", BANNER + b"250 O\rK\r\n"),
        (b"NOOP\r\n", BANNER + b"hello\r\n"),
        (b"QUIT\r\nNOOP\r\n", BANNER + b"221 Bye\r\n250 OK\r\n"),
        (b"", b""),
        (SESSION + b".\r\n", BANNER + DATA),
        (SESSION + b"x\r\n.\r\n", BANNER + DATA),
        (SESSION + b"x\r\n.\n", BANNER + DATA + b"250 OK\r\n"),
        (SESSION + b"x\r\n.\r\n", BANNER + DATA + b"250 OK\r\n"),
    ],
)
def test_the_searcher_sees_what_is_not_accounted_for(sent: bytes, heard: bytes) -> None:
    with pytest.raises(accounts.Unaccounted):
        accounts.check(sent, heard, 0)


@pytest.mark.parametrize(
    "sent, heard, accepted",
    [
        (b"", BANNER, 0),
        (b"NOOP\r\nNOOP\r\nNOO", BANNER + b"250 OK\r\n250-OK\r\n250 OK\r\n", 0),
        (b"QUIT\r\nNOOP\r\n", BANNER + b"221 Bye\r\n", 0),
        (SESSION + b".\r\n", BANNER + DATA + b"250 OK\r\n", 1),
        (SESSION + b"x\r\n.\r\n", BANNER + DATA + b"550 no\r\n", 0),
        (SESSION + b"x\n.\r\n", BANNER + DATA, 0),
    ],
)
def test_the_searcher_takes_what_is_accounted_for(
    sent: bytes, heard: bytes, accepted: int
) -> None:
    accounts.check(sent, heard, accepted)


FAREWELL = b"421 Error: local error in processing, closing connection\r\n"


@pytest.mark.parametrize(
    "heard",
    [
        b"250 OK\r\n451 Error: local error in processing\r\n",
        b"250 OK\r\n" + FAREWELL + b"250 OK\r\n",
        b"250 OK\r\n250 OK\r\n" + FAREWELL,
    ],
)
def test_the_searcher_sees_a_second_reply_of_a_server_that_may_fail(
    heard: bytes,
) -> None:
    with pytest.raises(accounts.Unaccounted):
        accounts.check(b"NOOP\r\n", BANNER + heard, 0, may_fail=True)


@pytest.mark.parametrize("heard", [b"", b"250 OK\r\n", b"250-first\r\n"])
def test_a_server_that_may_fail_may_take_leave_at_any_time(heard: bytes) -> None:
    accounts.check(b"NOOP\r\n", BANNER + heard + FAREWELL, 0, may_fail=True)
    with pytest.raises(accounts.Unaccounted):
        accounts.check(b"", BANNER + FAREWELL, 0)


class _Fails(configurations.Plain):
    def smtp_NOOP(self, arg: object) -> None:
        raise ValueError("for the search to find")


class _Silent(configurations.Plain):
    def smtp_NOOP(self, arg: object) -> None:
        pass


@pytest.mark.parametrize(
    "channel_class, says",
    [(_Fails, "for the search to find"), (_Silent, "no reply to b'NOOP")],
)
@pytest.mark.parametrize("loop", sorted(drive.LOOPS))
def test_the_searcher_finds_a_failure_and_the_smallest_input_for_it(
    channel_class: type, says: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configurations, "_CHANNELS", (channel_class,))
    monkeypatch.setattr(configurations, "_CHANNEL_WEIGHTS", (1,))
    monkeypatch.setattr(drive, "LOOPS", {loop: drive.LOOPS[loop]})
    with pytest.raises(Found) as found:
        search(1, 3000)
    assert says in str(found.value)
    # It leaves out one octet after the other, so an empty line may be left.
    assert re.search(r"\[b'(\\r\\n)*NOOP\\r\\n'\]", str(found.value), re.IGNORECASE)


def test_the_command_tells_what_it_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sessions", "5", "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("5 sessions from seed 1 on Python ")
    assert printed.endswith("nothing found\n")


def test_the_search_leaves_the_debug_stream_as_it_was() -> None:
    before = smtpd_compat.DEBUGSTREAM
    search(2, 50)
    assert smtpd_compat.DEBUGSTREAM is before
