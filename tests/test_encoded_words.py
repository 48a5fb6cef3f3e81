"""Encoded words (RFC 2047) where addresses hold them."""

from __future__ import annotations

import importlib

import pytest

from smtpd_compat._text._addresses import parse_address
from smtpd_compat._text._encoded_words import decode_encoded_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@pytest.mark.parametrize(
    "word, text",
    [
        ("=?utf-8?q?caf=C3=A9_au_lait?=", "caf\xe9 au lait"),
        ("=?UTF-8?Q?a=3d=3F?=", "a=?"),
        ("=?utf-8?b?Y2Fmw6k=?=", "caf\xe9"),
        ("=?utf-8?B?Y2Fmw6k?=", "caf\xe9"),
        ("=?iso-8859-1*fr?q?caf=E9?=", "caf\xe9"),
        ("=?us-ascii?q??=", ""),
        ("=?us-ascii?q?a=ZZ?=", "a=ZZ"),
        ("=?us-ascii?b?!?=", ""),
        ("=?us-ascii?b?a?=", "a"),
    ],
)
def test_a_word_is_decoded(word: str, text: str) -> None:
    assert decode_encoded_word(word, 0) == (text, len(word))


def test_a_word_is_decoded_where_it_stands() -> None:
    assert decode_encoded_word("ab=?utf-8?q?x?=cd", 2) == ("x", 15)
    assert decode_encoded_word("ab=?utf-8?q?x?=cd", 1) is None


def test_a_word_that_starts_with_an_octet_may_do_without_its_end() -> None:
    assert decode_encoded_word("=?utf-8?q?=41b", 0) == ("Ab", 14)
    assert decode_encoded_word("=?utf-8?q?b=41", 0) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=?",
        "a=?utf-8?q?x?=",
        "=?utf-8?q?x",
        "=?utf-8?x?x?=",
        "=?utf-8?q?=ZZ?=",
        "=?utf-8?q?\xe9?=",
        "=?\0?q?x?=",
    ],
)
def test_what_is_no_word_is_not_decoded(text: str) -> None:
    assert decode_encoded_word(text, 0) is None


# Charsets


@pytest.mark.parametrize("charset", ["utf-8", "ascii", "made-up", "..", ""])
def test_octets_that_a_charset_lacks_become_lone_surrogates(charset: str) -> None:
    assert decode_encoded_word(f"=?{charset}?q?a=FF?=", 0) == (
        "a\udcff",
        len(charset) + 11,
    )


@pytest.mark.parametrize("name", ["latin-1", "LATIN1", "iso_8859-1", "l1", "cp819"])
def test_a_charset_is_known_by_all_its_names(name: str) -> None:
    found: Any = decode_encoded_word(f"=?{name}?q?=E9?=", 0)
    assert found[0] == "\xe9"


def test_python_remembers_no_charset_names_that_clients_make_up() -> None:
    remembered = vars(importlib.import_module("encodings"))["_cache"]
    parse_address("=?utf-8?q?x?=@c")
    before = set(remembered)
    for number in range(50):
        assert parse_address(f"=?made-up-{number}?q?x?=@c") == ("x@c", "")
        assert parse_address(f"=?{'-' * number}utf--8?q?=3D?=@c") == ("=@c", "")
    assert set(remembered) == before
