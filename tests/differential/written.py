"""Sessions written by hand: the reference row by row, and every reply."""

from __future__ import annotations

import dataclasses

from .sessions import IPV6, UNIX, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def said(*lines: bytes, **options: Any) -> Session:
    """A session of lines, each its own segment."""
    session = Session(tuple(line + b"\r\n" for line in lines))
    return dataclasses.replace(session, **options)


def sent(*segments: bytes, **options: Any) -> Session:
    """A session of segments, cut as they are given."""
    return dataclasses.replace(Session(segments), **options)


HELLO = b"EHLO client.example"
TO_DATA = (HELLO, b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"DATA")
AGAIN = (b"MAIL FROM:<e@f>", b"RCPT TO:<g@h>", b"DATA", b"second", b".", b"QUIT")
MESSAGE = (b"Subject: hello", b"", b"text", b".")

#: What the reference documents, each session after the row that it is about.
REFERENCE: dict[str, Session] = {
    "data_size_limit": said(*TO_DATA, b"12345678", b".", data_size_limit=8),
    "data_size_limit passed": said(
        *TO_DATA[:3], b"DATA", b"123456789", b".", data_size_limit=9
    ),
    "data_size_limit None": said(*TO_DATA, *MESSAGE, data_size_limit=None),
    "data_size_limit 0": said(*TO_DATA, *MESSAGE, data_size_limit=0),
    "enable_SMTPUTF8": said(
        HELLO,
        "MAIL FROM:<\xfc@b> SMTPUTF8".encode(),
        "RCPT TO:<\u20ac@d>".encode(),
        b"DATA",
        "\u20ac".encode(),
        b".",
        enable_SMTPUTF8=True,
    ),
    "SMTPUTF8 not enabled": said(HELLO, b"MAIL FROM:<a@b> SMTPUTF8"),
    "decode_data": said(*TO_DATA, "\xfc".encode(), b".", *AGAIN, decode_data=True),
    "8BITMIME": said(HELLO, b"MAIL FROM:<a@b> BODY=8BITMIME", *TO_DATA[2:], b"."),
    "8BITMIME with decode_data": said(
        HELLO, b"MAIL FROM:<a@b> BODY=8BITMIME", decode_data=True
    ),
    "mail_options": said(
        HELLO,
        b"MAIL FROM:<a@b> size=10 body=8bitmime smtputf8",
        b"RCPT TO:<c@d>",
        b"DATA",
        *MESSAGE,
        enable_SMTPUTF8=True,
    ),
    "a reply of the handler": said(*TO_DATA, *MESSAGE, handler="text"),
    "a reply of several lines": said(*TO_DATA, *MESSAGE, handler="lines"),
    "an empty reply": said(*TO_DATA, *MESSAGE, handler="empty"),
    "a refusal": said(*TO_DATA, *MESSAGE, *AGAIN, handler="refuses"),
    "process_message with options": said(*TO_DATA, *MESSAGE, handler="options"),
    "DebuggingServer": said(*TO_DATA, *MESSAGE, handler="debugging"),
    "DebuggingServer with mail options": said(
        HELLO, b"MAIL FROM:<a@b> SIZE=3", *TO_DATA[2:], *MESSAGE, handler="debugging"
    ),
    "DebuggingServer with decode_data": said(
        *TO_DATA, *MESSAGE, handler="debugging", decode_data=True
    ),
    "DebuggingServer, no header": said(*TO_DATA, b"", b"x", b".", handler="debugging"),
    "DebuggingServer over IPv6": said(
        *TO_DATA, *MESSAGE, handler="debugging", peer=IPV6
    ),
    "PureProxy": said(*TO_DATA, *MESSAGE, handler="relays", decode_data=True),
    "PureProxy, no header": said(
        *TO_DATA, b"text", b".", handler="relays", decode_data=True, traced=True
    ),
    "set_terminator": said(
        HELLO, b"XDAT 12", b"1234567890", b"XDAT", b"NOOP", channel="chunks"
    ),
    "set_terminator with another line end": sent(
        b"\n".join(TO_DATA + MESSAGE), b"\nQUIT\n", channel="line feeds"
    ),
    "addr and peer": said(*TO_DATA, *MESSAGE, peer=UNIX),
    "the channel while the handler runs": said(*TO_DATA, *MESSAGE, handler="looks"),
    "received_lines": said(*TO_DATA, b"some", b"lines", channel="logged"),
    "a line that is not complete": sent(b"EHLO cli", channel="logged collect"),
    "smtp_state": said(*TO_DATA),
    "seen_greeting": said(b"HELO client.example"),
    "mailfrom": said(HELLO, b"MAIL FROM:<a@b>"),
    "rcpttos": said(HELLO, b"MAIL FROM:<a@b>", b"RCPT TO:<c@d>", b"RCPT TO:e@f"),
    "received_data": said(*TO_DATA, *MESSAGE),
    "DEBUGSTREAM": said(*TO_DATA, *MESSAGE, *AGAIN, traced=True),
    "hooks": said(*TO_DATA, *MESSAGE, *AGAIN, channel="logged"),
    "commands of a subclass": said(
        HELLO,
        b"AUTH PLAIN x",
        b"AUTH",
        b"MAIL FROM:<a@b>",
        b"RCPT TO:<refused@b>",
        channel="commands",
    ),
    "smtp_state of a subclass's own": said(
        HELLO, b"XODD", b"MAIL FROM:<a@b>", b"NOOP", channel="commands"
    ),
    "helpers of the commands": said(
        HELLO,
        b"MAIL ",
        b"MAIL x",
        b"MAIL FROM:<a@b> SIZE=1",
        b"RCPT ",
        b"RCPT TO:<a>",
        b"RSET",
        channel="logged helpers",
    ),
    "a login dialogue": said(
        HELLO,
        b"AUTH LOGIN",
        b"dXNlcg==",
        b"cGFzcw==",
        *TO_DATA[1:],
        *MESSAGE,
        channel="dialogue",
    ),
    "replies in own words": said(*TO_DATA, *MESSAGE, channel="rewriting"),
    "a line limit of its own": said(
        b"HELO " + b"x" * 75, b"NOOP" + b" " * 77, channel="small"
    ),
    "no line limit": sent(
        b"HELO x\r\n",
        b"NOOP".ljust(1000) + b"\r\n",
        b"NOOP".ljust(600),
        b" " * 400 + b"\r\n",
        channel="unlimited",
    ),
    "no line limit in a session that began with EHLO": said(
        HELLO,
        b"NOOP".ljust(1000),
        b"NOOP".ljust(1000),
        channel="unlimited",
        data_size_limit=0,
    ),
    "HELO": said(b"HELO", b"HELO a", b"HELO b", b"EHLO c"),
    "EHLO": said(b"EHLO", b"EHLO a", b"EHLO b", b"HELO c", b"RSET", b"EHLO d"),
    "NOOP": said(b"NOOP", b"noop", b"NOOP x", b"NOOP  "),
    "QUIT": said(b"QUIT"),
    "QUIT with an argument": said(b"QUIT x"),
    "MAIL": said(
        b"MAIL FROM:<a@b>",
        b"HELO x",
        b"MAIL",
        b"MAIL FROM:",
        b"MAIL TO:<a@b>",
        b"MAIL FROM:<a@b> SIZE=1",
        b"MAIL from: a@b",
        b"MAIL FROM:<a@b>",
    ),
    "MAIL with parameters": said(
        HELLO,
        b"MAIL FROM:<a@b> =",
        b"MAIL FROM:<a@b> SIZE=x",
        b"MAIL FROM:<> BODY=x",
        b"MAIL FROM:<> SMTPUTF8=1",
        b"MAIL FROM:<> X=1",
        b"MAIL FROM:<> SIZE=33554433",
        b"MAIL FROM:<> SIZE=33554432 BODY=7BIT",
        enable_SMTPUTF8=True,
    ),
    "RCPT": said(
        b"RCPT TO:<a@b>",
        HELLO,
        b"RCPT TO:<a@b>",
        b"MAIL FROM:<>",
        b"RCPT",
        b"RCPT TO:",
        b"RCPT FROM:<a@b>",
        b"RCPT to: a@b",
        b"RCPT TO:<a@b>",
    ),
    "RCPT after HELO": said(
        b"HELO x", b"MAIL FROM:<>", b"RCPT", b"RCPT TO:<a@b> X=1", b"RCPT TO:<a@b> ="
    ),
    "DATA": said(
        b"DATA",
        HELLO,
        b"DATA",
        b"MAIL FROM:<a@b>",
        b"DATA",
        b"RCPT TO:<c@d>",
        b"DATA x",
        b"DATA",
        b"x",
        b".",
        b"DATA",
    ),
    "RSET": said(
        *TO_DATA,
        *MESSAGE,
        b"MAIL FROM:<a@b>",
        b"RSET x",
        b"RSET",
        b"RCPT TO:<a@b>",
        b"MAIL FROM:<a@b>",
    ),
    "HELP": said(
        b"HELP",
        b"HELP EHLO",
        b"HELP HELO",
        b"HELP MAIL",
        b"HELP RCPT",
        b"HELP DATA",
        b"HELP RSET",
        b"HELP NOOP",
        b"HELP QUIT",
        b"HELP VRFY",
        b"HELP EXPN",
        b"HELP x",
        b"help mail",
    ),
    "HELP after EHLO": said(HELLO, b"HELP MAIL", b"HELP RCPT", b"HELP DATA"),
    "VRFY": said(
        b"VRFY", b"VRFY a@b", b"VRFY <a@b>", b"VRFY a", b"VRFY <>", b'VRFY ""'
    ),
    "EXPN": said(b"EXPN", b"EXPN list"),
    "unknown commands": said(b"FOO", b"foo bar", b"", b" NOOP", b"NOOP\tx"),
    "dot-stuffing": said(*TO_DATA, b"..", b"..x", b".x", b"x.", b". ", b".."),
    "dot-stuffing to the end": said(*TO_DATA, b"..", b"..x", b".x", b"x.", b"."),
    "bare line ends": sent(b"\r\n".join(TO_DATA) + b"\r\na\nb\rc\n.\nd\r.\re\r\n.\r\n"),
    "segments of one octet": sent(
        *(bytes([octet]) for octet in b"\r\n".join(TO_DATA + MESSAGE + AGAIN[:4]))
    ),
    "cut inside of CRLF.CRLF": sent(
        b"\r\n".join(TO_DATA), b"\r\nx\r", b"\n.\r", b"\n", b"NOOP\r", b"\n"
    ),
    "one segment": sent(b"\r\n".join(TO_DATA + MESSAGE + AGAIN) + b"\r\n"),
    "a message of 200 KB": said(*TO_DATA, b"x" * 998 + b"\r\n" + b"." * 200000, b"."),
}

# Line limits: what fits and what does not, before and after EHLO, and with what the
# extensions add for MAIL.
for _size in (512, 513):
    REFERENCE[f"a line of {_size} octets"] = said(
        b"NOOP " + b"x" * (_size - 5),
        b"HELO x",
        b"NOOP " + b"x" * (_size - 5),
        b"FOO" + b"x" * (_size - 3),
    )
    REFERENCE[f"a line of {_size} octets after EHLO"] = said(
        HELLO,
        b"NOOP " + b"x" * (_size - 5),
        b"RCPT" + b" " * (_size - 4),
        b"FOO" + b"x" * (_size - 3),
        b"NOOP",
    )
for _size, _options in (
    (538, {}),
    (512, {"data_size_limit": None}),
    (548, {"enable_SMTPUTF8": True}),
    (522, {"enable_SMTPUTF8": True, "data_size_limit": 0}),
):
    for _more in (0, 1):
        REFERENCE[f"MAIL of {_size + _more} octets, {_options}"] = said(
            HELLO,
            b"MAIL FROM:<a@b>".ljust(_size + _more),
            b"RCPT TO:<a@b>".ljust(_size + _more),
            **_options,
        )

#: What the original answers to; the written sessions hear all of it.
REPLIES = (
    r"220 \S+ Python SMTP proxy version 0\.3",
    r"221 Bye",
    r"250 OK",
    r"250 mx\.example\.test",
    r"250-mx\.example\.test",
    r"250-SIZE \d+",
    r"250-8BITMIME",
    r"250-SMTPUTF8",
    r"250 HELP",
    r"250 Supported commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY",
    r"250 Syntax: EHLO hostname",
    r"250 Syntax: HELO hostname",
    r"250 Syntax: MAIL FROM: <address>",
    r"250 Syntax: MAIL FROM: <address> \[SP <mail-parameters>\]",
    r"250 Syntax: RCPT TO: <address>",
    r"250 Syntax: RCPT TO: <address> \[SP <mail-parameters>\]",
    r"250 Syntax: DATA",
    r"250 Syntax: RSET",
    r"250 Syntax: NOOP",
    r"250 Syntax: QUIT",
    r"250 Syntax: VRFY <address>",
    r"252 Cannot VRFY user, but will accept message and attempt delivery",
    r"354 End data with <CR><LF>\.<CR><LF>",
    r"451 Internal confusion",
    r"500 Error: bad syntax",
    r"500 Error: line too long",
    r'500 Error: command "FOO" not recognized',
    r"501 Supported commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY",
    r"501 Syntax: EHLO hostname",
    r"501 Syntax: HELO hostname",
    r"501 Syntax: MAIL FROM: <address>",
    r"501 Syntax: MAIL FROM: <address> \[SP <mail-parameters>\]",
    r"501 Syntax: RCPT TO: <address>",
    r"501 Syntax: RCPT TO: <address> \[SP <mail-parameters>\]",
    r"501 Syntax: DATA",
    r"501 Syntax: RSET",
    r"501 Syntax: NOOP",
    r"501 Syntax: VRFY <address>",
    r"501 Error: BODY can only be one of 7BIT, 8BITMIME",
    r"501 Error: SMTPUTF8 takes no arguments",
    r"502 EXPN not implemented",
    r"502 Could not VRFY .*",
    r"503 Duplicate HELO/EHLO",
    r"503 Error: send HELO first",
    r"503 Error: need MAIL command",
    r"503 Error: need RCPT command",
    r"503 Error: nested MAIL command",
    r"552 Error: Too much mail data",
    r"552 Error: message size exceeds fixed maximum message size",
    r"555 MAIL FROM parameters not recognized or not implemented",
    r"555 RCPT TO parameters not recognized or not implemented",
)
