"""The addresses that MAIL, RCPT and VRFY take, production by production."""

from __future__ import annotations

import importlib
import random
import sys
import warnings
from collections.abc import Callable
from types import ModuleType

import pytest

from smtpd_compat._text._addresses import AddressError, parse_address

# None for the mailbox: no address.
ANSWERS: dict[str, list[tuple[str, str | None, str]]] = {
    "plain mailboxes": [
        ("<a@b>", "a@b", ""),
        ("a@b", "a@b", ""),
        ("<first.last+tag@mail.example.com>", "first.last+tag@mail.example.com", ""),
        ("<o'hara@example.com>", "o'hara@example.com", ""),
        ("nodomain", "nodomain", ""),
        ("<nodomain>", "nodomain", ""),
        ("", "", ""),
    ],
    "null reverse-path": [
        ("<>", "<>", ""),
        (" <>", "<>", ""),
        ("(c) <>", None, ""),
        ("<> SIZE=10", "<>", " SIZE=10"),
        ("<>SIZE=10", "<>", "SIZE=10"),
        ("<>(c)", "<>", "(c)"),
        ("<>>", "<>", ">"),
        ("< >", None, ""),
        ("<(c)>", None, ""),
    ],
    "what follows the address": [
        ("<a@b> SIZE=10", "a@b", "SIZE=10"),
        ("<a@b>SIZE=10", "a@b", "SIZE=10"),
        ("<a@b>  SIZE=10  X", "a@b", "SIZE=10  X"),
        ("a@b SIZE=10", "a@b", "SIZE=10"),
        ("a@b \t SIZE=10", "a@b", "SIZE=10"),
        ("<a@b> (c) SIZE=10", "a@b", "SIZE=10"),
        ("<a@b>\xa0X", "a@b", "\xa0X"),
        ("<a@b> \xa0X", "a@b", "X"),
        ("<a@b>.", "a@b", "."),
        ("<a@b> .", "a@b", "."),
        ("a@b,c@d", "a@b", ",c@d"),
        ("a@b>", "a@b", ">"),
        ('a@b"c"', "a@b", '"c"'),
        ("a@b\\", "a@b", "\\"),
        ("a,b@c", "a", ",b@c"),
        ("a:b@c", "a", ":b@c"),
        ("a]b@c", "a", "]b@c"),
        ("a[b@c", "a", "[b@c"),
        ("a<b@c>", "a", "<b@c>"),
    ],
    "angle brackets": [
        ("< a@b >", "a@b", ""),
        ("<a@b", "a@b", ""),
        ("<a", "a", ""),
        ("<a@b>>", "a@b", ">"),
        ("<a@b c>", "a@b", "c>"),
        ("<a@b,>", "a@b", ",>"),
        ("<a@b<c>", "a@b", "<c>"),
        (" <a@b>", "a@b", ""),
        (" \xa0<a@b>", "a@b", ""),
        ("\xa0<a@b>", None, ""),
        ("\x0b<a@b>", None, ""),
        ("(c)<a@b>", None, ""),
        ("<<a@b>>", None, ""),
    ],
    "source routes": [
        ("<@a:b@c>", "b@c", ""),
        ("<@a,@b:c@d> SIZE=1", "c@d", "SIZE=1"),
        ("<@a, ,(x),@b:c@d>", "c@d", ""),
        ("<, ,@a:b@c>", "b@c", ""),
        ("<(c)@a (d), @b : c@d>", "c@d", ""),
        ("<@[127.0.0.1]:c@d>", "c@d", ""),
        ("<@a:b>", "b", ""),
        ("<@a:b@c,d>", "b@c", ",d>"),
        ("<@a>", None, ""),
        ("<@a>b@c>", None, ""),
        ("<@a,b:c@d>", None, ""),
        ("<@a b:c@d>", None, ""),
        ("<@a@b:c@d>", None, ""),
        ("<@a:@b:c@d>", None, ""),
        ("<,a@b>", None, ""),
        ("<:a@b>", None, ""),
        ("@a:b@c", None, ""),
    ],
    "quoted strings": [
        ('"a"@h', "a@h", ""),
        ('<"a"@h>', "a@h", ""),
        ('"a b"@h', '"a b"@h', ""),
        ('"a@b"@h', '"a@b"@h', ""),
        (r'"a\"b"@h', r'"a\"b"@h', ""),
        (r'"a\\b"@h', r'"a\\b"@h', ""),
        (r'"\a\.b"@h', "a.b@h", ""),
        (r'"a\ b"@h', '"a b"@h', ""),
        ('"a..b."@h', "a..b.@h", ""),
        ('"\t"@h', '"\t"@h', ""),
        ('"a\nb"@h', "a\nb@h", ""),
        ('"a(b)"@h', '"a(b)"@h', ""),
        ('(c) "a" (d) @h', "a@h", ""),
        ('"a', "a", ""),
        ('"a@h', '"a@h"', ""),
        ('"a\\', "a", ""),
        ('<"a>', '"a>"', ""),
        ('""', "", ""),
        ('""@h', "@h", ""),
        ('<"">', '""', ""),
        ('<""@h>', '""@h', ""),
    ],
    "comments and folding white space": [
        ("(c)a(d)@(e)b(f)", "a@b", ""),
        ("<(c)a(d)@(e)b(f)>(g) X", "a@b", "X"),
        ("((a)(b))c@d", "c@d", ""),
        (r"(a\)\()c@d", "c@d", ""),
        ("a @ b", "a@b", ""),
        ("\ta\t@\tb", "a@b", ""),
        (" \r\n a@b", "a@b", ""),
        ("a \u3000@b", "a@b", ""),
        ("a(@b", "a", ""),
        ("a@b(c", "a@b", ""),
        ("()", None, ""),
        ("(a", None, ""),
        (" ", None, ""),
    ],
    "dots": [
        ("a.b@c.d", "a.b@c.d", ""),
        (".a@b", ".a@b", ""),
        ("a.@b", "a.@b", ""),
        ("a..b@c", "a..b@c", ""),
        (".", ".", ""),
        ("...@b", "...@b", ""),
        ("a . b@c . d", "a.b@c.d", ""),
        ("a. .b@c", "a..b@c", ""),
        ("a@b.", None, ""),
        ("a@.b", None, ""),
        ("a@b..c", None, ""),
        ("a@b. ", None, ""),
    ],
    "several words in a local part": [
        ('"a".b@c', "a.b@c", ""),
        ('a . "b c"@d', '"a.b c"@d', ""),
        ('"a"b@c', "ab@c", ""),
        ('"a""b"@c', "ab@c", ""),
        ("a b@c", '"a b"@c', ""),
        ("a(c)b@d", '"a b"@d', ""),
        ('" a" "." "b "@c', '" a . b "@c', ""),
        ("nodomain x", '"nodomain x"', ""),
        (r"a\b@c", r'"a\\b"@c', ""),
        (r"a \ b@c", r'"a \\ b"@c', ""),
        (r"\ \ a@c", r'"\\\\ a"@c', ""),
        (r"\ .a@c", r'"\\.a"@c', ""),
        (r"a\@c", r'"a\\"@c', ""),
        ('a "', '"a "', ""),
    ],
    "domains and domain literals": [
        ("a@[1.2.3.4]", "a@[1.2.3.4]", ""),
        ("<a@[IPv6:::1]>X", "a@[IPv6:::1]", "X"),
        ("a@[]", "a@[]", ""),
        ("a@ (c) [ 1 ] (d) X", "a@[1]", "X"),
        (r"a@[1\]2\\]", "a@[1]2\\]", ""),
        (r"a@[1\ ]", "a@[1]", ""),
        ("a@[(c)]", "a@[(c)]", ""),
        ("a@[1]@", "a@[1]", "@"),
        ("a@b\xa0c", "a@bc", ""),
        ("a@b c", "a@b", "c"),
        ("a@b. c@d", "a@b.c", "@d"),
        ("a@b[", "a@b", "["),
        ("a@[1 2]", None, ""),
        ("a@[[", None, ""),
        ('a@"b"', None, ""),
        ("a@b @c", None, ""),
    ],
    "beyond printable ASCII": [
        ("<\xe9@\xfc>", "\xe9@\xfc", ""),
        ("<\u4f8b@\u4f8b.example> SMTPUTF8", "\u4f8b@\u4f8b.example", "SMTPUTF8"),
        ("a\x00@b\x00", "a\x00@b\x00", ""),
        ("<a\x01\x7f@b>", "a\x01\x7f@b", ""),
        ("a\r@b", "a\r@b", ""),
        ("a@b\r\n", "a@b", ""),
        ("\xa0a\xa0@b", "\xa0a\xa0@b", ""),
        ("\ud800@\udcff", "\ud800@\udcff", ""),
        ("\x00", "\x00", ""),
    ],
    "encoded words": [
        ("=?utf-8?q?x?=@c", "x@c", ""),
        ("<a@=?utf-8?Q?x?=>", "a@x", ""),
        ("=?utf-8?b?w6k=?=@c", "\xe9@c", ""),
        ("=?utf-8?B?w6k?=@c", "\xe9@c", ""),
        ("=?utf-8?b?w?=@c", "w@c", ""),
        ("=?latin-1*fr?q?=E9?=@c", "\xe9@c", ""),
        ("=?ISO.8859.1?q?=E9?=@c", "\xe9@c", ""),
        ("=?-utf--8-?q?=C3=A9?=@c", "\xe9@c", ""),
        ("=?utf-8?q?=e9?=@c", "\udce9@c", ""),
        ("=?no-such?q?a=e9?=@c", "a\udce9@c", ""),
        ("=?utf-8?q?a_=20b?=@c", '"a b"@c', ""),
        ('"=?utf-8?q?a_=20b?="@c', '"a  b"@c', ""),
        ("a . =?utf-8?q?_=20b?=@c", '"a. b"@c', ""),
        ('"=?utf-8?q?a?= =?utf-8?q?b?= c"@d', '"ab c"@d', ""),
        ('"a=?utf-8?q?b?="@d', "a=?utf-8?q?b?=@d", ""),
        ("a=?utf-8?q?x?=@c", "a=?utf-8?q?x?=@c", ""),
        ("a@b.=?utf-8?q?x?=", "a@b.=?utf-8?q?x?=", ""),
        ("a@b. =?utf-8?q?x?=", "a@b.x", ""),
        ("a@b.=?utf-8?q?x?=. c", "a@b.x.c", ""),
        ("=?utf-8?q?=3C?=@c", '"<"@c', ""),
        ("=?utf-8?q?=40?=a@c", None, ""),
        ("=?utf-8?q?a=2C?=b@c", "a", ",b@c"),
        ("=?utf-8?q?=28a=29?=b@c", "b@c", ""),
        ("=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=.a@c", "x.a@c", ""),
        ("=?utf-8?q?=3D=3Fx=3Fq=3Fy?=(a\\ )?=z@c", '"y(a )z"@c', ""),
        (" =?utf-8?q?=0A?=a@c", "a@c", ""),
        ("=?utf-8?q??=@c", None, ""),
        ("a@=?utf-8?q??=", "a@", ""),
        ("=?utf-8?q?=41", "A", ""),
        ("=?utf-8?q?A", "=?utf-8?q?A", ""),
        ("=?utf-8?q?=zz?=@c", "=?utf-8?q?=zz?=@c", ""),
        ("=?utf-8?q?\xe9?=@c", "=?utf-8?q?\xe9?=@c", ""),
        ("=?utf-8?x?a?=@c", "=?utf-8?x?a?=@c", ""),
        ("=?utf-16?q?a?=@c", "=?utf-16?q?a?=@c", ""),
        ("=?\x00?q?a?=@c", "=?\x00?q?a?=@c", ""),
    ],
}


@pytest.mark.parametrize(
    ("text", "mailbox", "rest"),
    [
        pytest.param(*case, id=f"{production}: {case[0]!a}")
        for production, cases in ANSWERS.items()
        for case in cases
    ],
)
def test_each_production_gives_the_answer_of_the_original(
    text: str, mailbox: str | None, rest: str
) -> None:
    if mailbox is None:
        with pytest.raises(AddressError):
            parse_address(text)
    else:
        assert parse_address(text) == (mailbox, rest)


@pytest.mark.parametrize(
    "text",
    [
        *("<[", "<]", ":", ">", "(", "a@b@", "a@<", "<@a:>", "<@>", "@"),
        *("<", "a@", "<@a:", '"', '<"'),
        *("r@[", "<r@[", "r@[1", "r@[1 ", "r@[ ", "r@[\\"),
    ],
)
def test_where_the_original_died_there_is_an_address_error(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


def test_an_address_error_is_a_value_error() -> None:
    assert issubclass(AddressError, ValueError)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 60000,
        "<" * 60000,
        "<(" * 30000,
        "@" * 60000,
        "," * 60000,
        " " * 60000,
        "a@" + "b." * 30000,
        "a@[" + "\\" * 60000,
        "<" + "," * 60000,
    ],
    ids=lambda text: text[:6],
)
def test_long_input_without_an_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "mailbox", "rest"),
    [
        ("(" * 30000 + ")" * 30000 + "a@b", "a@b", ""),
        ("a@b" + "(" * 60000, "a@b", ""),
        ("(c)" * 20000 + "a@b", "a@b", ""),
        ('"' * 60000, "", ""),
        ('"a"' * 20000 + "@b", "a" * 20000 + "@b", ""),
        ("a." * 30000 + "@b", "a." * 30000 + "@b", ""),
        ("." * 60000, "." * 60000, ""),
        ("\\" * 60000, '"' + "\\" * 120000 + '"', ""),
        ("a " * 30000 + "@b", '"' + "a " * 29999 + 'a"@b', ""),
        ("a@b" + "," * 60000, "a@b", "," * 60000),
        ("<@a" + ",@a" * 20000 + ":b@c>", "b@c", ""),
        ("<" + "," * 60000 + "@a:b@c>", "b@c", ""),
        ("a" * 60000 + "@b", "a" * 60000 + "@b", ""),
        ("=?" * 30000, "=?" * 30000, ""),
        ('"' + "=? " * 20000 + '?="', '"' + "=? " * 20000 + '?="', ""),
        ("=?utf-8?q?x?= " * 5000, '"' + "x " * 4999 + 'x"', ""),
    ],
    ids=lambda text: text[:6],
)
def test_long_and_deeply_nested_input_is_parsed(
    text: str, mailbox: str, rest: str
) -> None:
    assert parse_address(text) == (mailbox, rest)


def _original() -> ModuleType | None:
    if sys.version_info >= (3, 12):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("smtpd")


ORIGINAL = _original()


class AddressMaker:
    """Random addresses and near misses, the same ones from the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, make: Callable[[], str], most: int, least: int = 0) -> str:
        return "".join(make() for _ in range(self.random.randint(least, most)))

    def maybe(self, make: Callable[[], str], chance: float) -> str:
        return make() if self.random.random() < chance else ""

    def character(self) -> str:
        return self.random.choice(
            "abcxyz019!#$%&'*+-/=?^_`{|}~\xe9\xa0\x00\r\n\x0b\u3000\udce9"
        )

    def special(self) -> str:
        return self.random.choice('<>@:;,."()[]\\ \t')

    def near_miss(self) -> str:
        return self.some(lambda: self.maybe(self.special, 0.7) or "a", 8)

    def encoded_word(self) -> str:
        charset = self.random.choice(["utf-8", "latin-1", "nope", "utf-16", ""])
        pieces = ["a", "_", "=40", "=22", "=28", "=0A", "=e9", "=3D=3F", "=3F=3D"]
        text = self.some(lambda: self.random.choice([*pieces, "=", "?", " "]), 3)
        ending = self.random.choice(["?=", "?=", "?=", "?", ""])
        return f"=?{charset}?{self.random.choice('qqqbx')}?{text}{ending}"

    def atom(self) -> str:
        return self.maybe(self.encoded_word, 0.1) or self.some(self.character, 3, 1)

    def comment(self) -> str:
        pieces = ["a", "\\)", "\\ ", " ", "\\", "\xe9", "(b)", "@", "?="]
        inside = self.some(lambda: self.random.choice(pieces), 3)
        return f"({inside}" + self.maybe(lambda: ")", 0.9)

    def cfws(self) -> str:
        spaces = [" ", "\t", "  ", " \r\n ", " \xa0", self.comment()]
        return self.maybe(lambda: self.random.choice(spaces), 0.2)

    def quoted_string(self) -> str:
        pieces = ["a", " ", '\\"', "\\\\", "\\a", "\\", "(", "@", ".", "\t", "\xe9"]
        pieces.append(self.encoded_word())
        inside = self.some(lambda: self.random.choice(pieces), 4)
        return f'"{inside}' + self.maybe(lambda: '"', 0.9)

    def word(self) -> str:
        core = self.atom() if self.random.random() < 0.7 else self.quoted_string()
        return self.cfws() + core + self.cfws()

    def local_part(self) -> str:
        more = self.some(
            lambda: self.random.choice([".", ".", "\\", ""]) + self.word(), 2
        )
        return self.maybe(lambda: ".", 0.05) + self.word() + more

    def domain(self) -> str:
        if self.random.random() < 0.2:
            pieces = ["1", ".", ":", " ", "\\]", "\\", "(", "\xe9"]
            inside = self.some(lambda: self.random.choice(pieces), 4)
            return f"{self.cfws()}[{inside}" + self.maybe(lambda: "]", 0.9)
        labels = [self.atom() for _ in range(self.random.randint(1, 3))]
        return self.cfws() + (self.cfws() + ".").join(labels) + self.cfws()

    def addr_spec(self) -> str:
        return self.local_part() + self.maybe(lambda: "@" + self.domain(), 0.9)

    def route(self) -> str:
        more = self.some(lambda: "," + self.maybe(lambda: "@" + self.domain(), 0.8), 2)
        return f"@{self.domain()}{more}:"

    def address(self) -> str:
        text = self.addr_spec()
        if self.random.random() < 0.5:
            route = self.maybe(self.route, 0.2)
            text = f"{self.cfws()}<{route}{text}" + self.maybe(lambda: ">", 0.9)
        text += self.random.choice(["", "", " SIZE=10", "SIZE=10", ">", "@x", " (c)"])
        for _ in range(self.random.choice([0, 0, 1, 2])):
            cut = self.random.randint(0, len(text))
            kept = self.random.choice([cut, cut + 1])
            text = text[:cut] + self.maybe(self.special, 0.7) + text[kept:]
        return text


def _ours(text: str) -> tuple[str, str] | None:
    try:
        return parse_address(text)
    except AddressError:
        return None


def _theirs(original: ModuleType, text: str) -> tuple[str, str] | None:
    try:
        mailbox, rest = original.SMTPChannel._getaddr(None, text)
    except Exception:  # noqa: BLE001 - it dies of many things
        return None
    return mailbox or "", rest


@pytest.mark.skipif(ORIGINAL is None, reason="this Python has no smtpd (3.12 on)")
@pytest.mark.parametrize("seed", range(8))
def test_generated_addresses_are_parsed_as_the_original_parses_them(seed: int) -> None:
    assert ORIGINAL is not None
    maker = AddressMaker(seed)
    texts = [maker.address() for _ in range(500)]
    texts += [maker.near_miss() for _ in range(250)]
    answered = 0
    for text in texts:
        theirs = _theirs(ORIGINAL, text)
        answered += theirs is not None
        assert (text, _ours(text)) == (text, theirs)
    assert answered > 200, "too few of the generated addresses are addresses"


@pytest.mark.skipif(ORIGINAL is None, reason="this Python has no smtpd (3.12 on)")
def test_the_tables_of_this_file_hold_what_the_original_answers() -> None:
    assert ORIGINAL is not None
    for cases in ANSWERS.values():
        for text, mailbox, rest in cases:
            expected = None if mailbox is None else (mailbox, rest)
            assert (text, _theirs(ORIGINAL, text)) == (text, expected)
