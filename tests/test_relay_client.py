"""The relays' client: what it sends, and what it makes of the replies."""

from __future__ import annotations

from typing import Any

import pytest

from smtpd_compat._relays._client import Conversation
from smtpd_compat._relays._outgoing import PIECE, Message
from smtpd_compat._relays._replies import BAD_ADDRESS, NO_REPLY, NO_SMTPUTF8

A, B = "a@x", "b@x"
DATA = b"Hi\n.dot"
ENVELOPE = b"MAIL FROM:<from@x>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n"
WIRE = b"Hi\r\n..dot\r\n.\r\n"


class Talk(Conversation):
    """A conversation whose output is always taken."""

    def says(self) -> bytes:
        """All that there is to send."""
        said = b""
        while self.unsent:
            said += self.unsent
            self.sent(len(self.unsent))
        return said

    def hears(self, *lines: str) -> bytes:
        """Receive lines; what is said to that."""
        self.receive("".join(line + "\r\n" for line in lines).encode())
        return self.says()


def greeted(*extensions: str, lmtp: bool = False) -> Talk:
    """A conversation with a server that offers *extensions*."""
    talk = Talk("me.example", lmtp)
    assert talk.says() == b""
    hello = b"LHLO" if lmtp else b"EHLO"
    assert talk.hears("220 up.example") == hello + b" me.example\r\n"
    lines = ["up.example", *extensions]
    assert (
        talk.hears(*[f"250-{line}" for line in lines[:-1]], f"250 {lines[-1]}") == b""
    )
    assert talk.is_ready
    return talk


def begun(*extensions: str, lmtp: bool = False, rcpttos: Any = (A, B)) -> Talk:
    """The same with a message, before the first of its commands is sent."""
    talk = greeted(*extensions, lmtp=lmtp)
    talk.deliver(Message("from@x", list(rcpttos), DATA))
    return talk


# What the server offers


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize(
    "line", ["X-OTHER SMTPUTF8", "X-OTHER=SMTPUTF8", "NO-SMTPUTF8", "SMTPUTF8X"]
)
def test_an_extension_is_the_first_word_of_a_line(line: str, lmtp: bool) -> None:
    talk = greeted(line, lmtp=lmtp)
    talk.deliver(Message("zoë@x", [A], DATA))
    assert talk.outcome == {A: NO_SMTPUTF8}
    assert talk.says() == b""


def test_the_first_line_offers_nothing() -> None:
    """It is the server's name."""
    talk = Talk("me.example")
    talk.hears("220 up.example")
    talk.hears("250-SMTPUTF8 is my name", "250 8BITMIME")
    talk.deliver(Message("zoë@x", [A], DATA))
    assert talk.outcome == {A: NO_SMTPUTF8}


@pytest.mark.parametrize("line", ["smtputf8", "SMTPutf8 ", "SMTPUTF8 with words"])
def test_extensions_are_known_in_any_case_and_with_parameters(line: str) -> None:
    talk = greeted("X-OTHER", line)
    talk.deliver(Message("zoë@x", [A], DATA))
    assert talk.says() == "MAIL FROM:<zoë@x> SMTPUTF8\r\n".encode()


@pytest.mark.parametrize("code", [200, 299])
def test_any_2xx_is_a_greeting_and_takes_ehlo_helo_and_rset(code: int) -> None:
    talk = Talk("me.example")
    assert talk.hears(f"{code} up.example") == b"EHLO me.example\r\n"
    assert talk.hears(f"{code} up.example") == b""
    assert talk.is_ready
    talk.deliver(Message("from@x", [A], DATA))
    talk.hears("550 no")
    talk.deliver(Message("from@x", [A], DATA))
    assert talk.says() == b"RSET\r\n"
    assert talk.hears(f"{code} reset") == b"MAIL FROM:<from@x>\r\n"
    talk = Talk("me.example")
    talk.hears("220 up.example")
    talk.hears("502 what?")
    assert talk.hears(f"{code} up.example") == b""
    assert talk.is_ready


@pytest.mark.parametrize("code", [300, 399])
@pytest.mark.parametrize("before", [[], ["220 up.example", "502 what?"]], ids=repr)
def test_a_3xx_is_no_greeting_and_does_not_take_helo(code: int, before: Any) -> None:
    talk = Talk("me.example")
    talk.deliver(Message("from@x", [A], DATA))
    for line in before:
        talk.hears(line)
    assert talk.hears(f"{code} what?") == b""
    assert talk.outcome == {A: (code, b"what?")}
    assert (talk.is_over, talk.is_ready) == (True, False)


@pytest.mark.parametrize("code", [300, 399, 500, 502])
def test_a_server_that_knows_no_ehlo_hears_helo(code: int) -> None:
    talk = Talk("me.example")
    assert talk.hears("220 up.example") == b"EHLO me.example\r\n"
    assert talk.hears(f"{code} what?") == b"HELO me.example\r\n"
    assert talk.hears("250 up.example") == b""
    assert talk.is_ready


@pytest.mark.parametrize("extension", ["X-OTHER", "PIPELINING"])
@pytest.mark.parametrize("code", [300, 354, 399])
def test_a_message_is_sent_after_any_3xx(code: int, extension: str) -> None:
    talk = begun(extension, rcpttos=(A,))
    talk.says()
    replies = ["250 OK", "250 OK", f"{code} go on"]
    assert [talk.hears(reply) for reply in replies][-1] == WIRE
    talk.hears("250 taken")
    assert talk.outcome == {A: (250, b"taken")}


@pytest.mark.parametrize("code", [300, 354, 399])
def test_an_empty_message_ends_a_data_that_came_too_early(code: int) -> None:
    talk = begun("PIPELINING", rcpttos=(A,))
    talk.says()
    assert talk.hears("250 OK", "550 no", f"{code} go on") == b".\r\n"


@pytest.mark.parametrize("code", [299, 400, 503])
def test_a_data_that_came_too_early_and_is_refused_is_not_followed(code: int) -> None:
    talk = begun("PIPELINING", rcpttos=(A,))
    talk.says()
    assert talk.hears("250 OK", "550 no", f"{code} no") == b""
    assert talk.outcome == {A: (550, b"no")}


@pytest.mark.parametrize("code", [200, 250, 299])
def test_any_2xx_takes_what_it_answers(code: int) -> None:
    talk = begun(rcpttos=(A,))
    talk.says()
    assert talk.hears(f"{code} OK") == b"RCPT TO:<a@x>\r\n"
    assert talk.progress
    assert talk.hears(f"{code} OK") == b"DATA\r\n"
    assert talk.hears("354 go on") == WIRE
    talk.hears(f"{code} taken")
    assert talk.outcome == {A: (code, b"taken")}


@pytest.mark.parametrize("code", [300, 399])
def test_a_sender_is_taken_only_by_a_2xx(code: int) -> None:
    talk = begun(rcpttos=(A,))
    talk.says()
    talk.hears(f"{code} what?")
    assert talk.outcome is not None
    assert talk.outcome[A][0] != 250
    assert not talk.progress


@pytest.mark.parametrize("code", [300, 399])
def test_a_recipient_is_taken_only_by_a_2xx(code: int) -> None:
    talk = begun(rcpttos=(A,))
    assert talk.says() == b"MAIL FROM:<from@x>\r\n"
    assert talk.hears("250 OK") == b"RCPT TO:<a@x>\r\n"
    talk.hears(f"{code} what?")
    assert talk.outcome is not None
    assert talk.outcome[A][0] != 250
    assert talk.failure == "SMTPRecipientsRefused"


# One command after another, and all at once


def test_without_pipelining_every_command_waits_for_the_reply_to_the_last() -> None:
    talk = begun()
    assert talk.says() == b"MAIL FROM:<from@x>\r\n"
    assert talk.hears("250 OK") == b"RCPT TO:<a@x>\r\n"
    assert talk.hears("251 will forward") == b"RCPT TO:<b@x>\r\n"
    assert talk.hears("299 OK") == b"DATA\r\n"
    assert talk.hears("354 go on") == WIRE
    assert talk.outcome is None
    assert talk.hears("250 taken") == b""
    assert talk.outcome == {A: (250, b"taken"), B: (250, b"taken")}
    assert (talk.failure, talk.is_over) == ("", False)


def test_with_pipelining_the_envelope_is_one_segment() -> None:
    talk = begun("PIPELINING")
    assert talk.says() == ENVELOPE
    assert talk.hears("250 OK", "250 OK", "550 unknown") == b""
    assert talk.hears("354 go on") == WIRE
    talk.hears("250 taken")
    assert talk.outcome == {A: (250, b"taken"), B: (550, b"unknown")}
    assert not talk.is_over


def test_no_more_replies_are_outstanding_than_tcp_can_buffer() -> None:
    rcpttos = [f"user{n}@x" for n in range(1000)]
    talk = begun("PIPELINING", rcpttos=rcpttos)
    outstanding, sent = 0, talk.says()
    seen = sent
    while talk.outcome is None:
        outstanding = sent.count(b"\r\n")
        assert outstanding <= 100
        if sent.endswith(b"DATA\r\n"):
            sent = talk.hears(*["250 OK"] * (outstanding - 1), "354 go on")
            assert sent == WIRE
            talk.hears("250 taken")
        else:
            sent = talk.hears(*["250 OK"] * outstanding)
            seen += sent
    assert seen.count(b"RCPT TO:") == 1000
    assert set(talk.outcome.values()) == {(250, b"taken")}


def test_a_session_is_used_again_and_reset_only_where_a_transaction_is_open() -> None:
    talk = begun("PIPELINING")
    talk.says()
    talk.hears("250 OK", "250 OK", "250 OK", "354 go on")
    talk.hears("250 taken")
    talk.deliver(Message("from@x", [A, B], DATA))
    assert talk.says() == ENVELOPE
    talk.hears("250 OK", "550 no", "551 no", "503 no recipients")
    assert talk.outcome == {A: (550, b"no"), B: (551, b"no")}
    talk.deliver(Message("from@x", [A, B], DATA))
    assert talk.says() == b"RSET\r\n" + ENVELOPE
    assert talk.hears("250 OK", "250 OK", "250 OK", "250 OK", "354 go on") == WIRE
    talk.hears("250 taken")
    talk.deliver(Message("from@x", [A, B], DATA))
    assert talk.says() == ENVELOPE


@pytest.mark.parametrize("code", [300, 399, 500])
def test_a_server_that_refuses_to_reset_is_left_and_nothing_was_accepted(
    code: int,
) -> None:
    talk = begun()
    talk.says()
    for line in ("250 OK", "550 no", "550 no"):
        talk.hears(line)
    talk.deliver(Message("from@x", [A], DATA))
    assert talk.says() == b"RSET\r\n"
    talk.hears(f"{code} what?")
    assert (talk.outcome, talk.is_over, talk.progress) == ({A: NO_REPLY}, True, False)


# Refusals


@pytest.mark.parametrize("pipelining", [(), ("PIPELINING",)], ids=["one", "all"])
def test_where_every_recipient_is_refused_no_message_is_sent(pipelining: Any) -> None:
    talk = begun(*pipelining)
    talk.says()
    talk.hears("250 OK")
    talk.hears("550 no")
    assert talk.hears("452 full") == b""
    if pipelining:
        assert talk.outcome is None
        talk.hears("554 no valid recipients")
    assert talk.outcome == {A: (550, b"no"), B: (452, b"full")}
    assert (talk.failure, talk.is_over) == ("SMTPRecipientsRefused", False)


def test_a_server_that_wants_a_message_for_nobody_gets_an_empty_one() -> None:
    talk = begun("PIPELINING")
    talk.says()
    assert talk.hears("250 OK", "550 no", "550 no", "354 go on") == b".\r\n"
    assert talk.outcome is None
    talk.hears("250 thrown away")
    assert talk.outcome == {A: (550, b"no"), B: (550, b"no")}
    assert not talk.is_over


@pytest.mark.parametrize("reply_to_data", ["503 no", "354 go on"])
def test_a_refused_sender_is_refused_for_all_and_the_session_goes_on(
    reply_to_data: str,
) -> None:
    talk = begun("PIPELINING")
    talk.says()
    talk.hears("552 too big", "503 MAIL first", "503 MAIL first", reply_to_data)
    if reply_to_data.startswith("3"):
        talk.hears("554 no")
    assert talk.outcome == {A: (552, b"too big"), B: (552, b"too big")}
    assert talk.fate == (552, b"too big")
    assert (talk.failure, talk.progress) == ("SMTPSenderRefused", False)
    talk.deliver(Message("from@x", [A, B], DATA))
    assert talk.says() == b"RSET\r\n" + ENVELOPE


def test_a_server_that_takes_recipients_of_a_refused_sender_gets_no_message() -> None:
    talk = begun("PIPELINING")
    talk.says()
    talk.hears("552 too big", "250 OK", "250 OK")
    assert talk.hears("354 go on") == b""
    assert talk.outcome == {A: (552, b"too big"), B: (552, b"too big")}
    assert talk.is_over


def test_a_sender_refused_without_pipelining_ends_the_transaction() -> None:
    talk = begun()
    talk.says()
    assert talk.hears("451-4.7.0 not\r\n451 now") == b""
    assert talk.outcome == {A: (451, b"4.7.0 not\nnow"), B: (451, b"4.7.0 not\nnow")}
    talk.deliver(Message("from@x", [A], DATA))
    assert talk.says() == b"RSET\r\n"


@pytest.mark.parametrize("code", [400, 451, 599])
@pytest.mark.parametrize("step", [4, 5])
def test_what_is_refused_at_data_or_after_it_is_refused_for_the_accepted(
    step: int, code: int
) -> None:
    replies = ["250 OK", "250 OK", "550 no", "354 go on", "250 taken"]
    talk = begun()
    talk.says()
    for reply in [*replies[: step - 1], f"{code} later"]:
        talk.hears(reply)
    assert talk.outcome == {A: (code, b"later"), B: (550, b"no")}
    assert (talk.failure, talk.is_over) == ("SMTPDataError", False)
    talk.deliver(Message("from@x", [A], DATA))
    assert talk.says() == b"RSET\r\n"  # Postfix keeps such a transaction open


@pytest.mark.parametrize(
    "replies",
    [[200], [250], [299], [354, 300], [354, 354], [354, 399]],
    ids=repr,
)
def test_data_that_is_answered_out_of_step_ends_the_session(replies: Any) -> None:
    talk = begun("PIPELINING")
    talk.says()
    talk.hears("250 OK", "250 OK", "250 OK")
    for code in replies:
        talk.hears(f"{code} go on")
    assert talk.outcome == {A: NO_REPLY, B: NO_REPLY}
    assert talk.is_over


def test_of_a_refused_sender_no_more_is_said_than_was_on_its_way() -> None:
    talk = begun("PIPELINING", rcpttos=[f"user{n}@x" for n in range(300)])
    assert talk.says().count(b"RCPT") == 99
    assert talk.hears("552 too big", *["503 MAIL first"] * 99) == b""
    assert set(talk.outcome.values()) == {(552, b"too big")}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("replies", "failure"),
    [
        (["550 no", "250 OK", "354 go on", "250 taken"], ""),
        (["250 OK", "550 no", "354 go on", "250 taken"], ""),
        (["250 OK", "250 OK", "354 go on", "452 full"], "SMTPDataError"),
        (["250 OK", "421 bye"], "SMTPRecipientsRefused"),
        (["250 OK", "250 OK", "354 go on", "421 bye"], "SMTPDataError"),
    ],
    ids=repr,
)
def test_the_failure_is_what_smtplib_would_have_raised(
    replies: Any, failure: str
) -> None:
    """It raises nothing as long as somebody gets the message."""
    talk = begun()
    talk.says()
    for reply in ["250 OK", *replies]:
        talk.hears(reply)
    assert talk.outcome is not None
    assert talk.failure == failure


@pytest.mark.parametrize("code", ["421", "554"])
def test_a_server_that_does_not_want_to_talk_says_why(code: str) -> None:
    talk = Talk("me.example")
    talk.deliver(Message("from@x", [A], DATA))
    assert talk.hears(f"{code} go away") == b""
    assert talk.outcome == {A: (int(code), b"go away")}
    assert (talk.failure, talk.is_over) == ("SMTPConnectError", True)


def test_helo_follows_where_ehlo_is_refused() -> None:
    talk = Talk("me.example")
    talk.deliver(Message("from@x", [A], DATA))
    talk.hears("220 up.example")
    assert talk.hears("502 what?") == b"HELO me.example\r\n"
    assert talk.hears("250 up.example") == b"MAIL FROM:<from@x>\r\n"


@pytest.mark.parametrize(
    ("replies", "reply"),
    [
        (["502 what?", "504 no"], (504, b"no")),
        (["421 bye"], (421, b"bye")),
        (["502 what?", "421 bye"], (421, b"bye")),
    ],
)
def test_a_server_that_refuses_both_greetings_is_left(replies: Any, reply: Any) -> None:
    talk = Talk("me.example")
    talk.deliver(Message("from@x", [A], DATA))
    talk.hears("220 up.example")
    for line in replies:
        talk.hears(line)
    assert talk.outcome == {A: reply}
    assert (talk.failure, talk.is_over) == ("SMTPHeloError", True)


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("pipelining", [(), ("PIPELINING",)], ids=["one", "all"])
def test_421_ends_the_session_at_every_step(step: int, pipelining: Any) -> None:
    talk = begun(*pipelining)
    talk.says()
    for reply in ["250 OK", "250 OK", "250 OK", "354 go on"][:step]:
        talk.hears(reply)
    assert talk.hears("421 bye") == b""
    assert talk.outcome == {A: (421, b"bye"), B: (421, b"bye")}
    assert talk.is_over
    assert talk.progress is (step > 0)


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("step", range(3))
def test_a_reply_before_the_command_is_out_of_step(step: int, lmtp: bool) -> None:
    """It would be taken for the next command's, and so would all that follow."""
    talk = Talk("me.example", lmtp)
    talk.deliver(Message("from@x", [A], DATA), hold=lmtp)
    for reply in ["220 up.example", "250 up.example", "250 OK"][:step]:
        talk.hears(reply)
    talk.hears(*["250 OK"] * 2)
    assert talk.is_over
    assert talk.outcome == {A: NO_REPLY}


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("step", range(3))
def test_421_before_the_command_is_heard_for_all(step: int, lmtp: bool) -> None:
    talk = Talk("me.example", lmtp)
    talk.deliver(Message("from@x", [A], DATA), hold=lmtp)
    for reply in ["220 up.example", "250 up.example", "250 OK"][:step]:
        talk.hears(reply)
    talk.hears("250 OK", "421 bye")
    assert talk.is_over
    assert talk.outcome == {A: (421, b"bye")}


def test_421_while_a_message_is_on_hold_is_heard_for_all() -> None:
    talk = greeted(lmtp=True)
    talk.deliver(Message("from@x", [A], DATA), hold=True)
    talk.says()
    talk.hears("250 OK")
    talk.hears("250 OK")
    talk.hears("421 bye")
    assert (talk.outcome, talk.is_over) == ({A: (421, b"bye")}, True)
    talk.go_on()
    assert talk.says() == b""


@pytest.mark.parametrize(
    "replies",
    [
        ["220 up.example", "250 by the way"],
        ["220 up.example", "421 bye"],
        ["220 up.example", "nonsense"],
        ["554 no", "250 by the way"],
    ],
    ids=repr,
)
def test_to_a_server_that_is_out_of_step_nothing_more_is_said(replies: Any) -> None:
    talk = Talk("me.example")
    assert talk.hears(*replies) == b""
    assert talk.is_over


@pytest.mark.parametrize("lines", [[], ["250 up.example"]], ids=repr)
def test_a_server_that_says_421_before_there_is_a_message_is_heard(lines: Any) -> None:
    talk = Talk("me.example")
    talk.hears("220 up.example")
    talk.hears(*lines, "421 too many")
    assert (talk.fate, talk.is_over) == ((421, b"too many"), True)


@pytest.mark.parametrize("said", ["nonsense", "250 OK", "421 another"])
def test_why_a_server_does_not_want_to_talk_is_what_it_says_first(said: str) -> None:
    talk = Talk("me.example")
    talk.hears("554 go away", said)
    assert talk.fate == (554, b"go away")


def test_replies_after_421_are_not_looked_at() -> None:
    """They may be those to what else has been sent."""
    talk = begun("PIPELINING")
    talk.says()
    assert talk.hears("421 bye", "250 OK", "250 OK", "354 go on") == b""
    assert talk.outcome == {A: (421, b"bye"), B: (421, b"bye")}
    assert not talk.progress


def test_only_a_complete_reply_is_a_sign_of_life() -> None:
    talk = begun()
    talk.says()
    assert not talk.receive(b"250-O")
    assert not talk.receive(b"K\r\n250 O")
    assert talk.receive(b"K\r\n")


def test_421_unasked_and_any_other_reply_unasked_end_the_session() -> None:
    for line in ("421 idle for too long", "250 by the way"):
        talk = greeted()
        talk.hears(line)
        assert talk.is_over
        assert talk.outcome is None


# Replies that are cut, garbled, endless


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize(
    "said",
    [b"", b"2", b"25", b"nonsense\r\n", b"\r\n", b"150 x\r\n", b"999 x\r\n", b"\xff\n"],
    ids=repr,
)
def test_no_reply_at_any_step_is_no_reply_for_all(step: int, said: bytes) -> None:
    talk = begun()
    talk.says()
    for reply in ["250 OK", "250 OK", "250 OK", "354 go on"][:step]:
        talk.hears(reply)
    if said:
        talk.receive(said)
    talk.receive(b"")
    assert talk.outcome == {A: NO_REPLY, B: NO_REPLY}
    assert (talk.failure, talk.is_over) == ("SMTPServerDisconnected", True)
    assert talk.says() == b""


@pytest.mark.parametrize("said", [b"250", b"250 taken", b"250-taken\r\n", b"250-ta"])
def test_a_reply_of_which_only_the_end_is_missing_decides(said: bytes) -> None:
    talk = begun("PIPELINING")
    talk.says()
    talk.hears("250 OK", "250 OK", "250 OK", "354 go on")
    talk.receive(said)
    assert talk.outcome is None
    talk.lost()
    assert {code for code, _ in talk.outcome.values()} == {250}  # type: ignore[attr-defined]
    assert talk.is_over


@pytest.mark.parametrize(
    "endless", [b"250-" + b"x" * 80 + b"\r\n", b"250-\r\n", b"250 xx"], ids=repr
)
def test_an_endless_reply_ends_the_session_with_what_is_known(endless: bytes) -> None:
    talk = begun("PIPELINING")
    talk.says()
    talk.hears("250 OK", "250 OK", "250 OK", "354 go on")
    received = 0
    while not talk.is_over:
        talk.receive(endless)
        received += len(endless)
        assert received < 1 << 17
    assert {code for code, _ in talk.outcome.values()} == {250}  # type: ignore[union-attr]
    talk.receive(endless)


def test_endless_nonsense_is_no_reply() -> None:
    talk = begun()
    received = 0
    while not talk.is_over:
        talk.receive(b"x" * 1000)
        received += 1000
        assert received < 1 << 17
    assert talk.outcome == {A: NO_REPLY, B: NO_REPLY}


def test_a_reply_longer_than_8192_octets_is_a_reply() -> None:
    for reply in ("250 " + "x" * 9000, "250-x" + "\r\n250-x" * 2000 + "\r\n250 x"):
        talk = begun("PIPELINING")
        talk.says()
        talk.hears("250 OK", "250 OK", "250 OK", "354 go on")
        talk.hears(reply)
        assert {code for code, _ in talk.outcome.values()} == {250}  # type: ignore[union-attr]
        assert not talk.is_over


def test_replies_may_arrive_octet_by_octet_and_end_in_lf() -> None:
    talk = begun("PIPELINING")
    talk.says()
    for octet in b"250-first\n250 OK\r\n250 OK\n250 OK\n354 go\n":
        talk.receive(bytes([octet]))
    assert talk.says() == WIRE
    for octet in b"250 taken\n":
        assert talk.outcome is None
        talk.receive(bytes([octet]))
    assert talk.outcome == {A: (250, b"taken"), B: (250, b"taken")}


# The message


def sending(data: bytes) -> Talk:
    """A conversation that may send *data*."""
    talk = greeted("PIPELINING")
    talk.deliver(Message("from@x", [A], data))
    talk.says()
    talk.receive(b"250 OK\r\n250 OK\r\n354 go on\r\n")
    return talk


@pytest.mark.parametrize("size", [0, 1, 5, PIECE - 5, PIECE - 1, PIECE, PIECE * 3])
def test_a_message_of_any_size_is_sent_in_pieces_and_then_answered(size: int) -> None:
    data = b"x" * size
    talk = sending(data)
    sent = b""
    while talk.unsent:
        piece = talk.unsent
        assert 0 < len(piece) < PIECE + 8
        sent += piece
        talk.sent(len(piece))
    assert sent == data + b"\r\n.\r\n"
    talk.hears("250 taken")
    assert talk.outcome == {A: (250, b"taken")}
    assert not talk.is_over


@pytest.mark.parametrize(
    ("data", "taken"),
    [(b"one\ntwo", 3), (b"x" * (PIECE * 3), PIECE // 3)],
    ids=["one piece", "several"],
)
def test_what_the_socket_did_not_take_is_sent_again(data: bytes, taken: int) -> None:
    talk = sending(data)
    sent = b""
    while talk.unsent:
        piece = talk.unsent[:taken]
        sent += piece
        talk.sent(len(piece))
    assert sent == data.replace(b"\n", b"\r\n") + b"\r\n.\r\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("552 too big", (552, b"too big")),
        ("400 later", (400, b"later")),
        ("250 fine", NO_REPLY),
        ("399 what?", NO_REPLY),
    ],
)
@pytest.mark.parametrize("size", [10, PIECE * 4])
def test_a_reply_before_the_end_of_the_message_ends_the_session(
    reply: str, expected: Any, size: int
) -> None:
    """A refusal counts; what is accepted before it has arrived is no message."""
    talk = sending(b"x" * size)
    talk.sent(len(talk.unsent) - 1)
    talk.receive(reply.encode() + b"\r\n")
    assert talk.outcome == {A: expected}
    assert talk.is_over
    talk.sent(0)
    assert talk.says() == b""


# The envelope


def test_parameters_of_mail_are_sent_as_far_as_needed_and_offered() -> None:
    for offered, mailfrom, data, more, expected in (
        ([], "from@x", b"\xff", True, b"<from@x>"),
        (["SMTPUTF8"], "from@x", b"\xff", False, b"<from@x>"),
        (["8BITMIME"], "from@x", b"text", False, b"<from@x>"),
        (["8bitmime"], "from@x", b"\xff", False, b"<from@x> BODY=8BITMIME"),
        (["SIZE 1000"], "<>", b"a\nb", False, b"<> SIZE=6"),
        (["SMTPUTF8"], "", b"", True, b"<> SMTPUTF8"),
        (["SMTPUTF8"], "ü@x", b"", False, "<ü@x> SMTPUTF8".encode()),
    ):
        talk = greeted(*offered)
        talk.deliver(Message(mailfrom, [A], data, smtputf8=more))
        assert talk.says() == b"MAIL FROM:" + expected + b"\r\n"


@pytest.mark.parametrize("more", [[], [B]], ids=["alone", "with another"])
def test_smtputf8_is_asked_for_where_a_recipient_needs_it(more: Any) -> None:
    talk = greeted("PIPELINING", "SMTPUTF8")
    talk.deliver(Message("from@x", [*more, "zoë@x"], b""))
    mail, *_, rcpt, data = talk.says().decode().splitlines()
    assert (mail, rcpt) == ("MAIL FROM:<from@x> SMTPUTF8", "RCPT TO:<zoë@x>")
    talk.hears(*["250 OK"] * (2 + len(more)), "354 go on")
    talk.hears("250 taken")
    assert set(talk.outcome.values()) == {(250, b"taken")}  # type: ignore[union-attr]


def test_recipients_that_cannot_be_said_are_refused_and_never_sent() -> None:
    talk = greeted("PIPELINING")
    talk.deliver(Message("from@x", ["ü@x", A, "a\r\nDATA@x", "a@x> NOTIFY=NEVER"], b""))
    assert talk.says().splitlines()[1:] == [b"RCPT TO:<a@x>", b"DATA"]
    talk.hears("250 OK", "250 OK", "354 go on")
    talk.hears("250 taken")
    assert list(talk.outcome.values()) == [  # type: ignore[union-attr]
        NO_SMTPUTF8,
        (250, b"taken"),
        BAD_ADDRESS,
        BAD_ADDRESS,
    ]


def test_where_nothing_can_be_said_nothing_is_sent_and_the_session_stays() -> None:
    talk = greeted("PIPELINING")
    for mailfrom, rcpttos, reply in (
        ("from@x", ["ü@x"], NO_SMTPUTF8),
        ("ü@x", [A, B], NO_SMTPUTF8),
        ("a@x> AUTH=<>", [A, B], BAD_ADDRESS),
        ("\udcff@x", [A], BAD_ADDRESS),
    ):
        talk.deliver(Message(mailfrom, rcpttos, b""))
        assert talk.outcome == dict.fromkeys(rcpttos, reply)
        assert talk.says() == b""
        assert not talk.is_over
    talk.deliver(Message("from@x", [A, B], DATA))
    assert talk.says() == ENVELOPE


def test_quit_is_the_last_word() -> None:
    talk = greeted()
    talk.quit()
    assert talk.is_over
    assert talk.says() == b"QUIT\r\n"
    talk.quit()
    assert talk.says() == b""


# LMTP


def lmtp_sent(*extensions: str, rcpttos: Any = (A, B)) -> Talk:
    """A conversation by LMTP whose message has been sent."""
    talk = begun(*extensions, "PIPELINING", lmtp=True, rcpttos=rcpttos)
    talk.says()
    ahead = b"QUIT\r\n" if len(rcpttos) > 1 else b""
    assert talk.hears("250 OK", *["250 OK"] * len(rcpttos), "354 go on") == WIRE + ahead
    return talk


def test_in_lmtp_every_recipient_has_a_reply_of_its_own() -> None:
    talk = lmtp_sent()
    talk.hears("250 taken")
    assert talk.outcome is None
    talk.hears("550-gone\r\n550 away")
    assert talk.outcome == {A: (250, b"taken"), B: (550, b"gone\naway")}
    assert talk.is_over


@pytest.mark.parametrize("reply", ["501 defects", "250 taken", "451 trouble"])
def test_in_lmtp_one_reply_before_that_to_quit_holds_for_all(reply: str) -> None:
    talk = lmtp_sent()
    talk.hears(reply, "221 bye")
    assert set(talk.outcome.values()) == {(int(reply[:3]), reply[4:].encode())}  # type: ignore[union-attr]


def test_in_lmtp_fewer_replies_than_recipients_hold_for_the_first() -> None:
    """Only one reply is taken for all: of several, nobody can tell whose is missing."""
    talk = lmtp_sent(rcpttos=(A, B, "c@x"))
    talk.hears("250 taken", "550 full", "221 bye")
    assert talk.outcome == {A: (250, b"taken"), B: (550, b"full"), "c@x": NO_REPLY}


def test_in_lmtp_what_the_server_does_not_say_stays_unknown() -> None:
    for said in ([], ["250 taken"]):
        talk = lmtp_sent(rcpttos=(A, B))
        talk.hears(*said)
        talk.lost()
        known = {A: (250, b"taken")} if said else {}
        assert talk.outcome == {A: NO_REPLY, B: NO_REPLY, **known}


def test_in_lmtp_a_server_that_shuts_down_between_replies_says_so_for_the_rest() -> (
    None
):
    talk = lmtp_sent(rcpttos=(A, B, "c@x"))
    talk.hears("250 taken", "421 bye")
    assert talk.outcome == {
        A: (250, b"taken"),
        B: (421, b"bye"),
        "c@x": (421, b"bye"),
    }


def test_in_lmtp_a_session_with_one_recipient_can_be_used_again() -> None:
    talk = lmtp_sent(rcpttos=(A,))
    talk.hears("250 taken")
    assert talk.outcome == {A: (250, b"taken")}
    assert not talk.is_over


def test_lmtp_has_no_other_greeting() -> None:
    talk = Talk("me.example", lmtp=True)
    talk.deliver(Message("from@x", [A], DATA))
    talk.hears("220 up.example")
    assert talk.hears("500 no") == b""
    assert talk.outcome == {A: (500, b"no")}


# A message on hold


def test_a_message_on_hold_waits_between_its_recipients_and_data() -> None:
    talk = greeted(lmtp=True)
    talk.deliver(Message("from@x", [], DATA), hold=True)
    assert talk.says() == b"MAIL FROM:<from@x>\r\n"
    assert talk.hears("250 OK") == b""
    talk.offer(A)
    assert talk.says() == b"RCPT TO:<a@x>\r\n"
    assert talk.reply_to(A) is None
    talk.hears("550 unknown")
    assert talk.reply_to(A) == (550, b"unknown")
    talk.offer(B)
    talk.says()
    talk.hears("250 OK")
    assert talk.reply_to(B) == (250, "OK")
    talk.offer("ü@x")
    assert talk.reply_to("ü@x") == NO_SMTPUTF8
    assert talk.says() == b""
    talk.go_on()
    assert talk.says() == b"DATA\r\n"
    assert talk.hears("354 go on") == WIRE
    talk.hears("250 taken")
    assert talk.outcome == {
        A: (550, b"unknown"),
        B: (250, b"taken"),
        "ü@x": NO_SMTPUTF8,
    }


def test_a_connection_lost_while_the_message_is_on_hold() -> None:
    talk = greeted(lmtp=True)
    talk.deliver(Message("from@x", [], DATA), hold=True)
    talk.says()
    talk.hears("250 OK")
    talk.offer(A)
    talk.says()
    talk.lost()
    assert talk.reply_to(A) == NO_REPLY
    assert talk.is_over
