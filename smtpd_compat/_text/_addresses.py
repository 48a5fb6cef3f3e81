"""Mailboxes as the arguments of MAIL, RCPT and VRFY carry them.

A scanner for the addresses of RFC 5321 and RFC 5322, with their obsolete forms and
with the liberties that ``smtpd`` always took.  It is pure: text in, text out.  What it
gives back means the mailbox that the client named, so encoded words are not decoded:
they belong to header fields (RFC 5321, 2.3.11; RFC 2047, 5).

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
_PLAIN_DOT_ATOM = rf"{_PLAIN_ATOM}(?:\.{_PLAIN_ATOM})*"
_PLAIN_MAILBOX = rf"({_PLAIN_DOT_ATOM}@{_PLAIN_DOT_ATOM})"
_plain_mailbox = re.compile(
    rf"<{_PLAIN_MAILBOX}>(?: *(?=[A-Za-z0-9])|\Z)"
    rf"|{_PLAIN_MAILBOX}(?: +(?=[A-Za-z0-9])|\Z)"
).match

# Control characters and all beyond ASCII count as atext.
_ATOM = r'[^ \t()<>@,:;\\".\[\]]+'
_atom_text = re.compile(_ATOM)
_dot_atom_text = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_local_part_ends = frozenset(")<>@,:;[]")
_needs_quotes = re.compile(r'[ \t()<>@,:;\\"\[\]]').search
_no_dot_atom = re.compile(r"[\0-\x1f\x7f]|\A\.|\.\.|\.\Z|\A\Z").search

# Folding white space starts with a space or a tab; any white space may follow.  A
# backslash before it, or at the very end, stands for nothing.
_fws = re.compile(r"[ \t]\s*")
_quoted_text = re.compile(r'[^"\\]*(?:\\.?[^"\\]*)*')
_dtext = re.compile(r"[^ \t\[\]\\]*(?:\\[^ \t]?[^ \t\[\]\\]*)*")
_quoted_pair = re.compile(r"\\(.?)")
_needless_backslash = re.compile(r"(\\[\[\]\\])|\\")
_comment_mark = re.compile(r"\\.|[()]")


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
    mailbox, rest = _addr_spec(text, 0)
    return "" if mailbox == '""' else mailbox, rest


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
    mailbox, rest = _addr_spec(text, pos)
    if rest.startswith(">"):
        rest = rest[_cfws(rest, 1) :]
    return mailbox, rest


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


def _addr_spec(text: str, pos: int) -> tuple[str, str]:
    """``local-part ["@" domain]``."""
    mailbox, pos = _local_part(text, pos)
    if text.startswith("@", pos):
        domain, pos = _domain(text, pos + 1)
        mailbox = f"{mailbox}@{domain}"
    return mailbox, text[pos:]


# Local parts


def _local_part(text: str, pos: int) -> tuple[str, int]:
    r"""``1*([CFWS] (word / "." / "\")) [CFWS]``, RFC 5322's form and much more.

    CFWS comes to one space between two words, or between a word and a backslash;
    anywhere else it comes to nothing.
    """
    pos = _cfws(text, pos)
    if pos == len(text) or text[pos] in _local_part_ends or text[pos:] == '"':
        raise AddressError("expected a local part")
    parts: list[str] = []
    had_quotes = False
    before = "."
    while True:
        start = _cfws(text, pos)
        if start == len(text) or text[start] in _local_part_ends:
            return _quoted_if_needed("".join(parts), had_quotes), start
        here = text[start]
        if start > pos and "." not in (before, here) and before + here != "\\\\":
            parts.append(" ")
        if here == '"':
            had_quotes = True
            part, pos = _quoted_string(text, start)
        elif here in ".\\":
            part, pos = here, start + 1
        else:
            part, pos = _found(_atom_text, text, start)
        parts.append(part)
        before = here


def _quoted_string(text: str, pos: int) -> tuple[str, int]:
    """``DQUOTE *([FWS] qcontent) [FWS] DQUOTE``, or up to the end of the text."""
    content, pos = _found(_quoted_text, text, pos + 1)
    return _quoted_pair.sub(r"\1", content), min(pos + 1, len(text))


def _quoted_if_needed(content: str, had_quotes: bool) -> str:
    """The local part *content* as it has to be written.

    The client's quotes stay around all that is no dot-atom.  What it sent without
    quotes gets none for its dots: mailboxes such as ``a..b`` exist, written like that.
    """
    if _needs_quotes(content) or (had_quotes and _no_dot_atom(content)):
        return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return content


# Domains


def _domain(text: str, pos: int) -> tuple[str, int]:
    """``dot-atom / domain-literal / obs-domain``, without folding white space.

    Other white space goes at both ends; between them it would make another domain.
    """
    pos = _cfws(text, pos)
    if text.startswith("[", pos):
        return _domain_literal(text, pos)
    domain, pos = _found(_dot_atom_text, text, pos)
    pos = _cfws(text, pos)
    if text.startswith("@", pos):
        raise AddressError("a domain and another '@'")
    labels = [domain]
    while text.startswith(".", pos):
        label, pos = _found(_atom_text, text, _cfws(text, pos + 1))
        labels.append(label)
        pos = _cfws(text, pos)
    return ".".join(labels).strip(), pos


def _domain_literal(text: str, pos: int) -> tuple[str, int]:
    """``"[" [FWS] dtext [FWS] "]" [CFWS]``."""
    dtext, pos = _found(_dtext, text, _skip_fws(text, pos + 1))
    pos = _skip_fws(text, pos)
    if not text.startswith("]", pos):
        raise AddressError("expected ']' at the end of a domain literal")
    dtext = _needless_backslash.sub(r"\1", dtext)
    return f"[{dtext}]", _cfws(text, pos + 1)


# Words and white space


def _found(pattern: re.Pattern[str], text: str, pos: int) -> tuple[str, int]:
    """What *pattern* matches at *pos*, and the position after it."""
    found = pattern.match(text, pos)
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
