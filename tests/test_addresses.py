"""The addresses that MAIL, RCPT and VRFY take, production by production."""

from __future__ import annotations

import importlib
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from smtpd_compat._text._addresses import AddressError, parse_address
from tests.differential import mailboxes

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
        ("a;b@c", "a", ";b@c"),
        ("a)b@c", "a", ")b@c"),
        ("a@b;c", "a@b", ";c"),
        ("a@b)c", "a@b", ")c"),
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
        ("\xa0\xa0<a@b>", None, ""),
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
        ("<@=?utf-8?q?x=3A?=:a@h>", "a@h", ""),
        ("<@a:b@c,d>", "b@c", ",d>"),
        ("<@a>", None, ""),
        ("<@a>b@c>", None, ""),
        ("<@a,b:c@d>", None, ""),
        ("<@a b:c@d>", None, ""),
        ("<@a@b:c@d>", None, ""),
        ("<@a:@b:c@d>", None, ""),
        ("<,a@b>", None, ""),
        ("<,xa:b@c>", None, ""),
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
        ('"\t"@h', '"\t"@h', ""),
        ('"a(b)"@h', '"a(b)"@h', ""),
        ('(c) "a" (d) @h', "a@h", ""),
        ('"a', "a", ""),
        ('"a@h', '"a@h"', ""),
        ('"a\\', "a", ""),
        ('<"a>', '"a>"', ""),
        ('""', "", ""),
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
        (r"a@[1\ ]", "a@[1]", ""),
        ("a@[(c)]", "a@[(c)]", ""),
        ("a@[1]@", "a@[1]", "@"),
        ("a@b c", "a@b", "c"),
        ("a@b. c@d", "a@b.c", "@d"),
        ("a@b[", "a@b", "["),
        ("a@[1 2]", None, ""),
        ("a@[[", None, ""),
        ('a@"b"', None, ""),
        ("a@b @c", None, ""),
        ("a@b.c@d", None, ""),
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
}

# The original answers otherwise.
ENCODED_WORDS = [
    ("=?utf-8?q?root?=@h", "=?utf-8?q?root?=@h", ""),
    ("<=?utf-8?b?cm9vdA==?=@h>", "=?utf-8?b?cm9vdA==?=@h", ""),
    ("=?UTF-8?Q?a=40evil=2Eexample?=@h", "=?UTF-8?Q?a=40evil=2Eexample?=@h", ""),
    ("=?latin-1*fr?q?=E9?=@h", "=?latin-1*fr?q?=E9?=@h", ""),
    ("=?no-such?q?a?=@h", "=?no-such?q?a?=@h", ""),
    ("a.b@=?utf-8?q?evil=2Eexample?=", "a.b@=?utf-8?q?evil=2Eexample?=", ""),
    ("<a@b. =?utf-8?q?x?= >", "a@b.=?utf-8?q?x?=", ""),
    ('"=?utf-8?q?root?="@h', "=?utf-8?q?root?=@h", ""),
    ('"=?utf-8?q?a?= =?utf-8?q?b?="@h', '"=?utf-8?q?a?= =?utf-8?q?b?="@h', ""),
    ("a . =?utf-8?q?b?=@h", "a.=?utf-8?q?b?=@h", ""),
    ("=?utf-8?q?a_b?= (c) c@h", '"=?utf-8?q?a_b?= c"@h', ""),
    ("=?utf-8?q?a?=b@h", "=?utf-8?q?a?=b@h", ""),
    ("=?utf-8?q?a=2C?=b@h", "=?utf-8?q?a=2C?=b@h", ""),
    ("=?utf-8?q?=3C?= SIZE=1", '"=?utf-8?q?=3C?= SIZE=1"', ""),
    ("=?utf-8?q?=41", "=?utf-8?q?=41", ""),
    ("=?utf-8?q??=@h", "=?utf-8?q??=@h", ""),
]
NEEDED_QUOTES = [
    ('"a..b"@h', '"a..b"@h', ""),
    ('<"a..b"@h>', '"a..b"@h', ""),
    ('"a."@h', '"a."@h', ""),
    ('".a"@h', '".a"@h', ""),
    ('"."@h', '"."@h', ""),
    ('"a.."', '"a.."', ""),
    ('""@h', '""@h', ""),
    ('"" @h X', '""@h', "X"),
    ('"".a@h', '".a"@h', ""),
    ('a. "".b@h', '"a..b"@h', ""),
    ('a."b."@h', '"a.b."@h', ""),
    (r'"\a\."@h', '"a."@h', ""),
    ('"a\nb"@h', '"a\nb"@h', ""),
    ('"a\r"@h', '"a\r"@h', ""),
    ('"a\\\nb"@h', '"a\nb"@h', ""),
    ('"a\0"@h', '"a\0"@h', ""),
    ('"\x7f"@h', '"\x7f"@h', ""),
    ('a."\x1f".b@h', '"a.\x1f.b"@h', ""),
    (r"a@[1\]2\\]", r"a@[1\]2\\]", ""),
    (r"a@[\[1\:\1]", r"a@[\[1:1]", ""),
]
WHITE_SPACE_IN_A_DOMAIN = [
    ("a@b\xa0c", "a@b\xa0c", ""),
    ("<a@ b\u3000c\x1cd >", "a@b\u3000c\x1cd", ""),
    ("<a@b\x0b.c>", "a@b\x0b.c", ""),
    ("a@b\r. (c) \nc", "a@b\r.c", ""),
    ("a@[1\xa02]", "a@[1\xa02]", ""),
    ("a@\xa0b\u2028c\n", "a@b\u2028c", ""),
]
DEPARTURES = {
    mailboxes.ENCODED_WORDS: ENCODED_WORDS,
    mailboxes.QUOTING: NEEDED_QUOTES,
    mailboxes.WHITE_SPACE: WHITE_SPACE_IN_A_DOMAIN,
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


@pytest.mark.parametrize(("text", "mailbox", "rest"), ENCODED_WORDS)
def test_encoded_words_in_addresses_stay_as_they_are(
    text: str, mailbox: str, rest: str
) -> None:
    assert parse_address(text) == (mailbox, rest)


@pytest.mark.parametrize(("text", "mailbox", "rest"), NEEDED_QUOTES)
def test_quotes_and_backslashes_that_an_address_needs_stay(
    text: str, mailbox: str, rest: str
) -> None:
    assert parse_address(text) == (mailbox, rest)


@pytest.mark.parametrize(("text", "mailbox", "rest"), WHITE_SPACE_IN_A_DOMAIN)
def test_white_space_inside_a_domain_stays(text: str, mailbox: str, rest: str) -> None:
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
        ('"' + "\\a" * 30000 + '"@h', "a" * 30000 + "@h", ""),
        ('"' + "." * 60000 + '"@h', '"' + "." * 60000 + '"@h', ""),
        ('"' + ' "' * 30000, '"' + " " * 30000 + '"', ""),
        ("a@[" + "\\]" * 30000 + "]", "a@[" + "\\]" * 30000 + "]", ""),
        ("a@b" + "\xa0" * 60000 + "c", "a@b" + "\xa0" * 60000 + "c", ""),
        ("=?" * 30000, "=?" * 30000, ""),
    ],
    ids=lambda text: text[:6],
)
def test_long_and_deeply_nested_input_is_parsed(
    text: str, mailbox: str, rest: str
) -> None:
    assert parse_address(text) == (mailbox, rest)


def _original() -> ModuleType | None:
    if sys.version_info >= (3, 12) or sys.implementation.name != "cpython":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("smtpd")


ORIGINAL = _original()

needs_original = pytest.mark.skipif(
    ORIGINAL is None, reason="this Python has no smtpd of CPython's"
)


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


def _theirs(original: ModuleType, text: str) -> tuple[Any, list[str]]:
    return mailboxes.answer(partial(original.SMTPChannel._getaddr, None), text)


@needs_original
@pytest.mark.parametrize("seed", range(8))
def test_generated_addresses_are_parsed_as_the_original_parses_them(seed: int) -> None:
    assert ORIGINAL is not None
    maker = AddressMaker(seed)
    texts = [maker.address() for _ in range(500)]
    texts += [maker.near_miss() for _ in range(250)]
    answered: Counter[str] = Counter()
    for text in texts:
        theirs, changes = _theirs(ORIGINAL, text)
        assert (text, _ours(text)) == (text, theirs)
        answered.update(changes if theirs is None else [*changes, "taken"])
    assert answered["taken"] > 200, "too few of the generated addresses are addresses"
    assert min(answered[row] for row in DEPARTURES) > 5, answered


@needs_original
def test_the_tables_of_this_file_hold_what_the_original_answers() -> None:
    assert ORIGINAL is not None
    for cases in ANSWERS.values():
        for text, mailbox, rest in cases:
            expected = None if mailbox is None else (mailbox, rest)
            assert (text, _theirs(ORIGINAL, text)) == (text, (expected, []))


@needs_original
@pytest.mark.parametrize("row", DEPARTURES)
def test_the_original_answers_otherwise_where_a_row_says_so(row: str) -> None:
    assert ORIGINAL is not None
    for text, mailbox, rest in DEPARTURES[row]:
        theirs, changes = _theirs(ORIGINAL, text)
        assert (text, theirs) == (text, (mailbox, rest))
        assert row in changes, text
