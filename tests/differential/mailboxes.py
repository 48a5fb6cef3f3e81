"""The original's parser of addresses, amended: a mailbox keeps its meaning.

The original parses with the email package, so the amendments are made there, while it
parses.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from unittest import mock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    _GetAddr = Callable[[str], tuple[Any, str]]

#: The names of the rows that this amends.
ENCODED_WORDS = "encoded words in addresses"
WHITE_SPACE = "white space inside a domain"
QUOTING = "quotes and backslashes that an address needs"

_email: Any = importlib.import_module("email._header_value_parser")

#: Stands for a question mark, so that there are no encoded words.
_NO_MARK = "\uf8ff"

_ATEXT = '[^\\0-\\x20()<>@,:;\\\\".\\[\\]\x7f]+'
_dot_atom = re.compile(rf"{_ATEXT}(\.{_ATEXT})*").fullmatch


def answer(getaddr: _GetAddr, text: str) -> tuple[Any, list[str]]:
    """What the original is to answer, and the rows that make it another answer.

    The answer is None where the original dies.

    :param getaddr: the original's.
    """
    changes = []
    latest = _answer(getaddr, text)
    for row, amended in (
        (ENCODED_WORDS, _without_encoded_words),
        (WHITE_SPACE, _with_domain_as_it_is),
        (QUOTING, _with_quotes),
    ):
        before, latest = latest, _answer(amended, getaddr, text)
        if latest != before:
            changes.append(row)
    return latest, changes


def _answer(parse: Any, *args: Any) -> Any:
    try:
        mailbox, rest = parse(*args)
    except Exception:  # noqa: BLE001 - it dies of many things
        return None
    return mailbox or "", rest


def _without_encoded_words(getaddr: _GetAddr, text: str) -> tuple[Any, str]:
    mailbox, rest = getaddr(text.replace("?", _NO_MARK))
    return (mailbox or "").replace(_NO_MARK, "?"), rest.replace(_NO_MARK, "?")


def _with_domain_as_it_is(
    getaddr: _GetAddr, text: str, escape: bool = False
) -> tuple[Any, str]:
    def domain(tokens: Any) -> str:
        return "".join(_written(tokens, escape)).strip()

    with mock.patch.object(_email.Domain, "domain", property(domain)):
        return _without_encoded_words(getaddr, text)


def _written(token: Any, escape: bool) -> Iterator[str]:
    """The text of all tokens but white space and comments."""
    if token.token_type in ("cfws", "fws"):
        return
    if isinstance(token, _email.TokenList):
        for inner in token:
            yield from _written(inner, escape)
    elif escape and token.token_type == "ptext":
        yield re.sub(r"([\[\]\\])", r"\\\1", token)
    else:
        yield str(token)


def _with_quotes(getaddr: _GetAddr, text: str) -> tuple[Any, str]:
    with _noting_quotes() as quotes:
        mailbox, rest = _with_domain_as_it_is(getaddr, text, escape=True)
    if quotes and not mailbox.startswith('"'):
        local, at, domain = mailbox.partition("@")
        if not _dot_atom(local) and (local or at):
            mailbox = f'"{local}"{at}{domain}'
    return mailbox, rest


@contextlib.contextmanager
def _noting_quotes() -> Iterator[list[str]]:
    quotes: list[str] = []
    quoted_string = _email.get_bare_quoted_string

    def noted(value: str) -> Any:
        token = quoted_string(value)
        quotes.append(value)
        return token

    with mock.patch.object(_email, "get_bare_quoted_string", noted):
        yield quotes
