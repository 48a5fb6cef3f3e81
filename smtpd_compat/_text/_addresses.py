"""Mailboxes as the arguments of MAIL, RCPT and VRFY carry them.

A scanner for the addresses of RFC 5321 and RFC 5322, with their obsolete forms and
with the liberties that ``smtpd`` always took.  It is pure: text in, text out.

Each production is a function of the text and the position at which the production
starts.  It gives back what it found and the position after it, and raises
AddressError where the production cannot be.  Nothing recurses, and no character is
looked at more than a few times, so that time grows only as the input does.
"""

from __future__ import annotations

import re


class AddressError(ValueError):
    """The text does not start with an address."""


# The plain addresses which nearly every client sends, in one match.
_PLAIN_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN_DOT_ATOM = rf"(?!=\?){_PLAIN_ATOM}(?:\.{_PLAIN_ATOM})*"
_PLAIN_MAILBOX = rf"({_PLAIN_DOT_ATOM}@{_PLAIN_DOT_ATOM})"
_plain_mailbox = re.compile(
    rf"<{_PLAIN_MAILBOX}>(?: *(?=[A-Za-z0-9])|\Z)"
    rf"|{_PLAIN_MAILBOX}(?: +(?=[A-Za-z0-9])|\Z)"
).match

# Control characters and all beyond ASCII count as atext.
_ATOM = r'[^ \t()<>@,:;\\".\[\]]+'
_atom_text = re.compile(_ATOM)
_dot_atom_text = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_needs_quotes = re.compile(r'[ \t()<>@,:;\\"\[\]]')
_local_part_ends = frozenset(")<>@,:;[]")

# Folding white space starts with a space or a tab; any white space may follow.  A
# backslash before it, or at the very end, stands for nothing.
_fws = re.compile(r"[ \t]\s*")
_qcontent = re.compile(r'[^ \t"\\]*(?:\\[^ \t]?[^ \t"\\]*)*')
_dtext = re.compile(r"[^ \t\[\]\\]*(?:\\[^ \t]?[^ \t\[\]\\]*)*")
_quoted_pair = re.compile(r"\\(.?)", re.DOTALL)
_comment_mark = re.compile(r"\\.|[()]", re.DOTALL)
_comment_backslash = re.compile(r"(\\[()\\])|\\")


def parse_address(text: str) -> tuple[str, str]:
    """Take the address off the start of a command's argument.

    :param text: what follows ``FROM:``, ``TO:`` or ``VRFY``; it may hold any
        characters.
    :returns: the mailbox and the text after it.  The mailbox is ``local@domain``
        without comments, white space, source route and needless quotes; ``<>`` for the
        null reverse-path; the local part alone where no domain follows it; empty for
        empty text.
    :raises AddressError: where there is no address (RFC 5321, 4.1.2; RFC 5322, 3.4.1
        and 4.4).
    """
    plain = _plain_mailbox(text)
    if plain is not None:
        return plain[1] or plain[2], text[plain.end() :]
    if not text:
        return "", ""
    if text.lstrip().startswith("<"):
        return _angle_addr(text)
    local, domain, rest = _addr_spec(text, 0)
    return _quoted_if_needed(local) + domain, rest


def _angle_addr(text: str) -> tuple[str, str]:
    """``[CFWS] "<" [obs-route] addr-spec ">" [CFWS]``, also without the ``>``."""
    pos = _cfws(text, 0)
    if not text.startswith("<", pos):
        raise AddressError("expected '<'")
    pos += 1
    if text.startswith(">", pos):
        return "<>", text[pos + 1 :]
    if text.startswith(("@", ","), _cfws(text, pos)):
        pos = _obs_route(text, pos)
    local, domain, rest = _addr_spec(text, pos)
    if rest.startswith(">"):
        rest = rest[_cfws(rest, 1) :]
    return (_quoted_if_needed(local) or '""') + domain, rest


def _obs_route(text: str, pos: int) -> int:
    """``*([CFWS] ",") [CFWS] "@" domain *("," [CFWS] ["@" domain]) ":"``."""
    pos = _cfws(text, pos)
    while text.startswith(",", pos):
        pos = _cfws(text, pos + 1)
    if not text.startswith("@", pos):
        raise AddressError("expected '@' in a source route")
    _, pos = _domain(text, pos + 1)
    while text.startswith(",", pos):
        pos = _cfws(text, pos + 1)
        if text.startswith("@", pos):
            _, pos = _domain(text, pos + 1)
    if not text.startswith(":", pos):
        raise AddressError("expected ':' after a source route")
    return pos + 1


def _addr_spec(text: str, pos: int) -> tuple[str, str, str]:
    """``local-part ["@" domain]``: the local part, ``@domain``, the text after."""
    local, text, pos = _local_part(text, pos)
    if not text.startswith("@", pos):
        return local, "", text[pos:]
    domain, pos = _domain(text, pos + 1)
    return local, "@" + domain, text[pos:]


def _quoted_if_needed(local: str) -> str:
    return _quoted(local) if _needs_quotes.search(local) else local


def _quoted(content: str) -> str:
    return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Local parts


def _local_part(text: str, pos: int) -> tuple[str, str, int]:
    """``dot-atom / quoted-string / obs-local-part``.

    :returns: the local part, and the text and position at which to go on: the text
        changes where an encoded word had to be decoded before the rest could be read.
    """
    start = _cfws(text, pos)
    if start == len(text) or text[start] in _local_part_ends:
        raise AddressError("expected a local part")
    if text[start] in ".\\":
        return _obs_local_part(text, start)

    if text[start] == '"':
        local, end = _quoted_string(text, start)
        source = _quoted(local)
        missing = end == start + 1
    else:
        source, end = _dot_atom(text, start)
        local = _unfolded(source)
        missing = not source
    after = _cfws(text, end)
    if after < len(text) and text[after] not in _local_part_ends:
        # More words follow.  The first is read again with them, so that what an
        # encoded word holds counts as if the client had sent it as it is.
        space = _comment_backslash.sub(r"\1", text[end:after])
        return _obs_local_part(text[pos:start] + source + space + text[after:], 0)
    if missing:
        raise AddressError("expected a local part")
    return local, text, after


def _obs_local_part(text: str, pos: int) -> tuple[str, str, int]:
    r"""``1*([CFWS] (word / "." / "\")) [CFWS]``, RFC 5322's form and much more.

    CFWS comes to one space between two words, or between a word and a backslash;
    anywhere else it comes to nothing.
    """
    parts: list[str] = []
    before = "."
    while True:
        start = _cfws(text, pos)
        if start == len(text) or text[start] in _local_part_ends:
            break
        here = text[start]
        if start > pos and "." not in (before, here) and before + here != "\\\\":
            parts.append(" ")
        part, pos = (here, start + 1) if here in ".\\" else _word(text, start)
        parts.append(part)
        before = here
    if not parts:
        raise AddressError("expected a local part")
    return "".join(parts), text, start


def _word(text: str, pos: int) -> tuple[str, int]:
    """``atom / quoted-string``."""
    if text[pos] == '"':
        return _quoted_string(text, pos)
    word, pos = _atom(text, pos)
    return _unfolded(word), pos


def _quoted_string(text: str, pos: int) -> tuple[str, int]:
    """``DQUOTE *([FWS] (qcontent / encoded-word)) [FWS] DQUOTE``, or up to the end.

    White space between two encoded words goes (RFC 2047, 6.2).
    """
    content: list[str] = []
    pos += 1
    after_encoded = False
    while pos < len(text) and text[pos] != '"':
        start = _skip_fws(text, pos)
        encoded = _encoded_word(text, start)
        if encoded is None or not after_encoded:
            content.append(text[pos:start])
        part, pos = encoded or _unquoted(_qcontent, text, start)
        content.append(part)
        after_encoded = encoded is not None
    return "".join(content), min(pos + 1, len(text))


def _unquoted(pattern: re.Pattern[str], text: str, pos: int) -> tuple[str, int]:
    """What the pattern matches, its quoted pairs resolved."""
    found = pattern.match(text, pos)
    if found is None:
        return "", pos
    return _quoted_pair.sub(r"\1", found[0]), found.end()


def _unfolded(text: str) -> str:
    return _fws.sub(" ", text)


# Domains


def _domain(text: str, pos: int) -> tuple[str, int]:
    """``dot-atom / domain-literal / obs-domain``, without any white space."""
    pos = _cfws(text, pos)
    if text.startswith("[", pos):
        domain, pos = _domain_literal(text, pos)
    else:
        domain, pos = _dot_atom(text, pos)
        pos = _cfws(text, pos)
        if text.startswith("@", pos):
            raise AddressError("a domain and another '@'")
        labels = [domain]
        while text.startswith(".", pos):
            label, pos = _atom(text, _cfws(text, pos + 1))
            labels.append(label)
            pos = _cfws(text, pos)
        domain = ".".join(labels)
    return "".join(domain.split()), pos


def _domain_literal(text: str, pos: int) -> tuple[str, int]:
    """``"[" [FWS] dtext [FWS] "]" [CFWS]``."""
    dtext, pos = _unquoted(_dtext, text, _skip_fws(text, pos + 1))
    pos = _skip_fws(text, pos)
    if not text.startswith("]", pos):
        raise AddressError("expected ']' at the end of a domain literal")
    return f"[{dtext}]", _cfws(text, pos + 1)


# Atoms and white space


def _dot_atom(text: str, pos: int) -> tuple[str, int]:
    """``encoded-word / 1*atext *("." 1*atext)``; one atom if a dot is too many."""
    encoded = _encoded_word(text, pos)
    if encoded is not None:
        return encoded
    found = _dot_atom_text.match(text, pos)
    if found is None or text.startswith(".", found.end()):
        return _atom(text, pos)
    return found[0], found.end()


def _atom(text: str, pos: int) -> tuple[str, int]:
    """``encoded-word / 1*atext``."""
    encoded = _encoded_word(text, pos)
    if encoded is not None:
        return encoded
    found = _atom_text.match(text, pos)
    if found is None:
        raise AddressError("expected an atom")
    return found[0], found.end()


def _cfws(text: str, pos: int) -> int:
    """``*(FWS / comment)``: the position after it."""
    while True:
        if text.startswith("(", pos):
            pos = _comment(text, pos)
        elif text.startswith((" ", "\t"), pos):
            pos = _skip_fws(text, pos)
        else:
            return pos


def _skip_fws(text: str, pos: int) -> int:
    found = _fws.match(text, pos)
    return pos if found is None else found.end()


def _comment(text: str, pos: int) -> int:
    """``"(" *(ctext / quoted-pair / comment) ")"``, or up to the end of the text."""
    depth = 0
    for mark in _comment_mark.finditer(text, pos):
        if mark[0] == "(":
            depth += 1
        elif mark[0] == ")":
            depth -= 1
            if depth == 0:
                return mark.end()
    return len(text)


def _encoded_word(text: str, pos: int) -> tuple[str, int] | None:
    """The text of an encoded word, None where there is none (RFC 2047)."""
    if not text.startswith("=?", pos):
        return None
    from ._encoded_words import decode_encoded_word

    return decode_encoded_word(text, pos)
