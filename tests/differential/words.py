"""The words that `generate` makes sessions of."""

# fmt: off

from __future__ import annotations

from .sessions import DEFAULT_LIMIT

#: Limits of a message that messages can exceed.
SMALL_LIMITS = (
    1, 2, 3, 10, 20, 50, 200, 1000,
)

#: The commands.
VERBS = (
    b"HELO", b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"NOOP", b"QUIT", b"HELP",
    b"VRFY", b"EXPN",
)

#: Lines that are odd as a whole.
ODD = (
    b"", b" ", b"\t", b"\0", b" NOOP", b"NOOP\t", b"NOOP\tx", b"NOOP  ", b"NOOP  x",
    b"NOOP\0", b"NO OP", b"QUIT\x0b", b"__init__", b"rset x", b"MAIL", b"MAIL FROM",
    b"MAIL FROM:", b"MAIL FROM: ", b"MAIL  FROM:<a@b>", b"MAIL TO:<a@b>", b"RCPT",
    b"RCPT TO:", b"RCPT TO: <a@b> ", b"RCPT FROM:<a@b>", b"DATA now", b"DATA ",
    b"HELP me", b"HELP help", b"HELP expn", b"EXPN", b"EXPN list", b"VRFY", b"VRFY ",
    b"VRFY <>", b"VRFY a", b"HELO", b"HELO ", b"EHLO", b"EHLO a b c", b"EHLO \xc3\xbc",
    b"HELO \xff", b".", b"..", b"\xc2\xa0", b"\xc2\xa0QUIT", b"qu\xc4\xb1t",
    b"re\xc5\xbfet", b"\xff", b"NOOP \xff", b"VRFY \xc3\xbc@b", b"VRFY a\rb",
    b"VRFY \rb\nc", b"a\rb", b"a\nb", b"FOO\r250 OK", b"FOO\n250 OK x", b"\r", b"\n",
    b"\xef\xbf\xbf", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80 x", b"\xc3", b"\xc3\x9f",
    b"\xef\xac\x80", "VRFY \u2028 x".encode(), "\u2003NOOP".encode(),
    "NOOP\u2003".encode(), "NOOP \u2003".encode(), "HELP \u2003mail\u2003".encode(),
)

#: The limit of lines, and with what SIZE, SMTPUTF8 and both add; that of the channel
#: kind that has one of its own, with the same; and far above.
LIMITS = (
    512, 512, 538, 522, 548, 548, 80, 106, 90, 116, 600, 5000,
)

#: What nonsense is made of.
PARTS = (
    b"foo", b"X", b"a", b"1", b"=", b"-", b".", b":", b"<", b">", b'"', b"%s", b"{}",
    b"\\", b"\t", b"\0", b"\x07", b"\x7f", b"\xc3\xa9", b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80", b"\xff", b"\r", b"\n",
)

#: Local parts, good and bad.
LOCALS = (
    b"user", b"first.last", b"a+tag", b"x", b"refused", b'"quoted"', b'"two words"',
    b'"a\\"b"', b'"a\\\\b"', b'"a@b"', b'"."', b'""', b'"a".b', b'a."b c".d', b"a b",
    b"a..b", b".a", b"a.", b"\xc3\xbc", b"\xc3\xbc.\xe2\x82\xac", b"\xff", b"a\\b",
    b"!#$%&'*+-/=?^_`{|}~", b"=?utf-8?q?=C3=BC?=", b"=?utf-8?b?w7w=?=", b"x" * 64,
    b"x" * 300, b"a\0b", b"a\x7fb", b"a%b", b"A", b"0", b'"a..b"', b'".a"', b'"a."',
    b'"a\rb"', b"=?utf-8?q?a=40b?=",
)

#: Domains, good and bad.
DOMAINS = (
    b"example.com", b"b", b"mail.example.org", b"[192.0.2.1]", b"[IPv6:2001:db8::1]",
    b"[ 192.0.2.1 ]", b"[a\\]b]", b"[]", b"[", b"[a", b"a]", b"b.", b".b", b"b..c",
    b"b . c", b"b@c", b"", b"\xc3\xbc.example", b"-", b"xn--bcher-kva.example",
    b"y" * 255, b'"b"', b"b\xff", b"b(c)", b"=?utf-8?q?c=2Ed?=", b"b\xc2\xa0c",
)

#: Source routes, good and bad.
ROUTES = (
    b"@r:", b"@r,@s:", b"@r,,@s:", b",@r:", b"@r", b"@:", b"@r:@s:", b"@[1]:",
)

#: What stands between the parts of an address.
SPACES = (
    b" ", b"  ", b"\t", b"(comment)", b" (a (nested) one) ", b"(open", b"(a\\)b)",
    b"\r\n ", b"\n ", b"\r", b"\n", b"\xc2\xa0", b"\x0b", b"\x0c", b"\x1c",
    b"\xe2\x80\xa8",
)

#: What is special in an address.
SPECIALS = (
    b"<", b">", b"<", b">", b"@", b"@", b"(", b")", b"[", b"]", b'"', b"\\", b",", b":",
    b";", b".", b" ", b"\t", b"a", b"b", b"=", b"?", b"=?", b"?=", b"\xc3\xbc", b"\xff",
    b"\0",
)

#: Addresses that are taken.
GOOD = (
    b"a@b", b"first.last@example.com", b"<nodomain>", b"nodomain", b"<@r:a@b>",
    b"<@r,@s:a@b>", b'<"quoted"@b>', b'<"two words"@b>', b'<"a\\"b"@b>',
    b"<a@[192.0.2.1]>", b"<a@[IPv6:2001:db8::1]>", b"<(c)a@b(d)>", b"< a@b >",
    b"<a @ b>", b"<\xc3\xbc@\xc3\xbc.example>", b"<a@b> ", b"<refused@b>",
    b"<a+b/c=d@b>", b'<"a..b"@b>', b"<=?utf-8?q?a?=@b>", b"<a@b\xc2\xa0c>",
    b"<" + b"x" * 64 + b"@" + b"y" * 200 + b">",
)

#: Addresses that deserve a closer look.
WRITTEN = (
    b"<>", b"< >", b"<", b">", b"", b"<<a@b>>", b"<a@b", b"a@b>", b"<a@b>>", b"<a@b>x",
    b"<a@b>SIZE=10", b"<a@b>  SIZE=10", b"<[", b"<]", b":", b"(", b"a@b@", b"a@<",
    b"<@a:>", b"<@>", b"@", b"a@", b"<@a:", b'"', b"r@[", b"nodomain", b"<nodomain>",
    b"<postmaster>", b"<@a,@b:c@d>", b"<@a:c@d>", b"a@b c@d", b"<a@b> <c@d>",
    b"Name <a@b>", b'"Name" <a@b>', b"a@b (comment)", b"(comment) a@b",
    b"<(c)a(c)@(c)b(c)>", b"group: a@b;", b"a@b,c@d", b'<"a@b>', b'<a"@b>', b'<"a"b@c>',
    b"<a@[1.2.3.4>", b"<a@1.2.3.4]>", b"=?utf-8?q?a?=@b", b"<=?utf-8?q?a=40b?=@c>",
    b"=?x?q?a?=", b"=?", b"<a@b\r>", b"<a\rb@c>", b"<a\nb@c>", b"<a@b>\x00",
    b"\xc2\xa0<a@b>", b"<a@b>\xc2\xa0",
)

#: Values of SIZE, some about limits.
SIZES = (
    0, 1, 9, 10, 11, 20, 21, 49, 50, 51, 199, 200, 201, 1000, 1001, DEFAULT_LIMIT - 1,
    DEFAULT_LIMIT, DEFAULT_LIMIT + 1, 10**30,
)

#: Parameters that the original takes for a size, and dies of.
NO_SIZES = (
    b"SIZE", "SIZE=\xb2".encode(),
)

#: Parameters, good and bad.
PARAMETERS = (
    b"BODY=7BIT", b"body=8bitmime", b"BODY=BINARYMIME", b"BODY", b"BODY=", b"size=10",
    b"SIZE", b"SIZE=", b"SIZE=-1", b"SIZE=+1", b"SIZE=1.0", b"SIZE=1_0", b"SIZE=x",
    b"SIZE=0010", b"SIZE=\xc2\xb2", b"SIZE=\xd9\xa3", b"SIZE=1=1", b"SIZE==1",
    b"smtputf8", b"SMTPUTF8=", b"SMTPUTF8=1", b"SMTPUTF8=TRUE", b"AUTH=<>", b"RET=FULL",
    b"NOTIFY=NEVER", b"FOO", b"FOO=BAR", b"=", b"=x", b"X-Y=1", b"x_y", b"\xc3\xa9=1",
    b"FOO=\xc3\x9f", b"\xef\xac\x80", b"%s", b"\0", b"a\x1cb",
)

#: Lines of messages.
BODY_LINES = (
    b".", b"..", b"...", b".x", b"..x", b".\r", b"\r.", b"\n.", b".\n", b"\r\r",
    b"\n\n", b"x\ny", b"x\ry", b"x\r.y", b"x\n.y", b"x.", b" .", b"\xc3\xa9",
    b"\xe2\x82\xac\xf0\x9f\x98\x80", b"\xc3", b"\xff\xfe", b"\xed\xa0\x80", b"\0",
    b"\x0b\x0c\x1c\x85", b"x" * 998, b"x" * 1200, b"NOOP", b"QUIT", b"\\x0d %s {}",
    b"From here", b"\xef\xbb\xbfx",
)
