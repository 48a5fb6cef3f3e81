"""Sessions written by hand that meet the listed departures, row by row."""

from __future__ import annotations

from . import mailboxes
from .sessions import UNIX, Session
from .written import AGAIN, HELLO, MESSAGE, TO_DATA, said, sent

_LEFT = (HELLO, b"MAIL FROM:<a@b> SIZE=1", b"RCPT TO:<c@d>", b"DATA", b"x", b".")

#: For each rule sessions which meet that rule.
RULED: dict[str, tuple[Session, ...]] = {
    "output that cannot be written": (
        said(*TO_DATA, *MESSAGE, *AGAIN, traced=True, unwritable=True),
        sent(b"HELO x\r\nNOOP\r\n", traced=True, unwritable=True, decode_data=True),
        said(*TO_DATA, *MESSAGE, handler="debugging", traced=True, unwritable=True),
    ),
    "unknown commands in command_size_limits": (said(HELLO, b"FOO"),),
    "a handler that fails": tuple(
        said(*TO_DATA, *MESSAGE, *AGAIN, handler=handler, decode_data=decode_data)
        for handler in ("raises", "raises OSError", "number", "list", "unimplemented")
        for decode_data in (False, True)
    )
    + tuple(
        said(*TO_DATA, *MESSAGE, *AGAIN, handler="raises", channel=channel)
        for channel in ("logged", "catching", "rewriting")
    )
    + (
        said(HELLO, b"VRFY a@b", b"NOOP", channel="failing"),
        sent(
            b"\r\n".join(TO_DATA + MESSAGE + AGAIN) + b"\r\n",
            handler="raises",
            channel="catching",
        ),
    ),
    "a command or a hook that fails after its reply": tuple(
        said(*TO_DATA[:3], b"RCPT TO:<e@f>", b"NOOP", channel=channel)
        for channel in ("failing", "failing and catching")
    )
    + (
        said(*TO_DATA, *MESSAGE, *AGAIN, channel="failing"),
        said(*TO_DATA, *MESSAGE, handler="pushes and raises"),
        said(*TO_DATA, *MESSAGE, handler="pushes and raises", channel="catching"),
        said(b"EHLO a", b"NOOP", channel="failing"),
        sent(
            b"\r\n".join(TO_DATA + MESSAGE + AGAIN) + b"\r\n",
            channel="failing and catching",
        ),
    ),
    "a command that is not UTF-8": (
        said(b"\xff", b"NOOP"),
        said(b"HELO \xff", b"HELO x"),
        said(*TO_DATA[:3], b"RCPT TO:<\xc3@d>", b"DATA", b"x", b"."),
        sent(b"\xff\r\nNOOP\r\n", channel="logged"),
    ),
    "command_size_limit = None": (
        sent(
            b"HELO x\r\n",
            b"NOOP".ljust(1000) + b"\r\n",
            b"NOOP".ljust(600),
            b" " * 400 + b"\r\n",
            channel="unlimited by None",
        ),
    ),
    "decode_data: cut characters and invalid UTF-8": (
        sent(b"HELO \xc3", b"\xa9\r\n", decode_data=True),
        sent(b"HELO \xe2", b"\x82", b"\xac\r\n", b"NOOP\r\n", decode_data=True),
        said(b"\xff", b"NOOP", decode_data=True),
        said(
            HELLO,
            b"AUTH",
            b"name\xc3",
            b"\xa9",
            b"VRFY <>",
            decode_data=True,
            channel="dialogue",
        ),
        said(*TO_DATA, b"\xff", b".", *AGAIN, decode_data=True),
        said(*TO_DATA, b"\xff", b".", decode_data=True, data_size_limit=3),
        sent(
            b"\r\n".join(TO_DATA) + b"\r\n",
            b"\xc3",
            b"\xa9\r\n",
            b".\r\n",
            decode_data=True,
            traced=True,
        ),
    ),
    "after 552 Too much mail data": (
        said(*TO_DATA, b"too much", b".", *AGAIN, data_size_limit=7),
        said(*TO_DATA, b"too much", b".", b"NOOP", data_size_limit=7, channel="logged"),
        said(*TO_DATA, b"\xc3\xa9" * 4, b".", decode_data=True, data_size_limit=7),
    ),
    "CR and LF echoed in replies": (
        said(b"FOO\r250 OK"),
        said(b"\n250", b"FOO\n"),
        said(b'VRFY ""(\r)'),
        said(b"VRFY <\ra@"),
    ),
    "a reply that is not ASCII": (
        said("\xe9t\xe9".encode(), b"NOOP"),
        said(*TO_DATA, *MESSAGE, *AGAIN, handler="not ascii"),
        said(*TO_DATA, *MESSAGE, handler="surrogate", decode_data=True),
        said(
            HELLO,
            b"MAIL FROM:<a@b> SMTPUTF8",
            *TO_DATA[2:],
            *MESSAGE,
            enable_SMTPUTF8=True,
            handler="surrogate",
        ),
    ),
    "push with bytes": (said(*TO_DATA, *MESSAGE, *AGAIN, handler="bytes"),),
    "options of a refused MAIL": (
        said(HELLO, b"MAIL FROM:<a@b> X=1"),
        said(
            HELLO,
            b"MAIL FROM:<a@b> SMTPUTF8 X=1",
            "\xe9".encode(),
            enable_SMTPUTF8=True,
        ),
    ),
    "SIZE that is no number": (
        said(HELLO, b"MAIL FROM:<a@b> SIZE", b"MAIL FROM:<a@b>"),
        said(HELLO, "MAIL FROM:<a@b> SIZE=\xb2".encode(), b"MAIL FROM:<a@b>"),
        said(HELLO, b"MAIL FROM:<> SIZE", data_size_limit=None),
    ),
    "options of a refused RCPT": (
        said(*TO_DATA[:3], b"RCPT TO:<e@f> X=1", b"DATA", b"x", b"."),
    ),
    "an address that the original dies on": tuple(
        said(
            HELLO,
            b"VRFY " + bad,
            b"MAIL FROM:" + bad,
            b"MAIL FROM:<a@b>",
            b"RCPT TO:" + bad,
            b"RCPT TO:<c@d>",
            b"DATA",
            b"x",
            b".",
        )
        for bad in (
            b"<[",
            b"<]",
            b":",
            b">",
            b"(",
            b"a@b@",
            b"a@<",
            b"<@a:>",
            b"<@>",
            b"@",
            b"<",
            b"a@",
            b"<@a:",
            b'"',
            b"r@[",
        )
    ),
    **{
        row: tuple(
            said(
                HELLO,
                b"MAIL FROM:" + path,
                b"RCPT TO:" + path,
                b"DATA",
                b"x",
                b".",
                b"VRFY " + path + b">",
                handler=handler,
                decode_data=handler == "relays",
            )
            for path in paths
            for handler in ("none", "relays")
        )
        for row, paths in (
            (
                mailboxes.ENCODED_WORDS,
                (
                    b"<=?utf-8?q?root?=@example.org>",
                    b"a@=?utf-8?b?ZXZpbC5leGFtcGxl?= ",
                    b'<"=?utf-8?q?root?="@b>',
                    b"=?utf-8?q?=40?=a@c",
                ),
            ),
            (
                mailboxes.QUOTING,
                (
                    b'<"a..b"@c>',
                    b'".a"@c',
                    b'<a."b."@c>',
                    b'"a\rb"@c',
                    b'""@c',
                    b"<a@[b\\]c]>",
                ),
            ),
            (mailboxes.WHITE_SPACE, (b"<a@b\xc2\xa0c>", b"a@b\x1cc.d", b"a@[\rb\rc]")),
        )
    },
    "options left from the last transaction": (
        said(*_LEFT),
        said(*_LEFT[:2], b"RSET"),
        said(*TO_DATA, *MESSAGE, *AGAIN, handler="tampers"),
    ),
    "received_lines left by a handler": (
        said(*TO_DATA, *MESSAGE, b"x", handler="leaves lines"),
    ),
    "options that were never set": (said(*TO_DATA, *MESSAGE, *AGAIN, channel="old"),),
    "after QUIT": (
        sent(b"QUIT\r\nNOOP\r\n", traced=True),
        sent(b"QUIT\r\n" + b"x" * 70000 + b"\r\n", traced=True),
        sent(b"HELO x\r\nQUIT\r\nMAIL FROM:<", channel="logged"),
    ),
    "an empty message": (
        said(*TO_DATA, b".", *AGAIN),
        sent(b"\r\n".join(TO_DATA) + b"\r\n.", b"\r", b"\nNOOP\r\n"),
        said(*TO_DATA, b".", b".", b"NOOP", decode_data=True, channel="logged"),
    ),
    "process_message with four arguments": (
        said(*TO_DATA, *MESSAGE, *AGAIN, handler="four arguments"),
        said(*TO_DATA, b"\xff", b".", handler="four arguments"),
    ),
    "a handler's kind of message": tuple(
        said(*TO_DATA, *MESSAGE, *AGAIN, handler=handler)
        for handler in ("wants text", "wants octets")
    ),
    "_getparams with a string": (
        said(HELLO, b"XDAT SIZE=1 BODY=7BIT", b"XDAT", channel="parameters"),
    ),
    "8BITMIME where the handler gets text": tuple(
        said(HELLO, b"MAIL FROM:<a@b> BODY=8BITMIME", handler=handler)
        for handler in ("four arguments", "wants octets")
    ),
    "send with str": (said(b"NOOP", b"NOOP", channel="greets"),),
    "parameters after an EHLO of one's own": (
        said(HELLO, b"MAIL FROM:<a@b> SIZE=1 BODY=8BITMIME", channel="greets"),
        said(b"EHLO", HELLO, b"MAIL FROM:<a@b> X=1", channel="greets"),
    ),
    "a greeting that was not noted": (
        said(*TO_DATA, *MESSAGE, *AGAIN, channel="dispatches"),
        said(b"MAIL FROM:<a@b>", b"HELO", b"HELO x", *TO_DATA, channel="dispatches"),
        said(*TO_DATA, *MESSAGE, *AGAIN, channel="silent"),
        said(b"HELO", b"MAIL FROM:<a@b>", b"HELO x", *TO_DATA[1:], channel="silent"),
    ),
    "PureProxy": (
        said(*TO_DATA, *MESSAGE, *AGAIN, handler="relays"),
        said(
            HELLO,
            b"MAIL FROM:<a@b> SMTPUTF8",
            *TO_DATA[2:],
            b"\xff",
            b".",
            enable_SMTPUTF8=True,
            handler="relays",
        ),
        said(*TO_DATA, *MESSAGE, handler="relays", decode_data=True, peer=UNIX),
        said(*TO_DATA, b"x", b".", handler="relays", peer=UNIX),
    ),
    "bare CR and LF in relayed mail": (
        said(*TO_DATA, b"A: b\r\rtext", b"", b".", handler="relays", decode_data=True),
        said(*TO_DATA, b"\rtext", b".", handler="relays", decode_data=True),
    ),
    "DebuggingServer and an empty peer": (
        said(*TO_DATA, *MESSAGE, *AGAIN, handler="debugging", peer=UNIX),
        said(*TO_DATA, *MESSAGE, handler="debugging", peer=UNIX, decode_data=True),
    ),
}
