"""Encoded words (RFC 2047), which the original decodes in addresses.

An address may not hold one, so this is loaded only when a client sends one.
"""

from __future__ import annotations

import binascii
import encodings.aliases
import functools
import pkgutil
import re

# Encoded text that starts with "=" must go on with two hexadecimal digits; then it
# may do without the closing "?=".
_encoded = re.compile(
    r"=\?([^?]*)\?([qQbB])\?(?:((?!=)[^?]*)\?=|(=[0-9A-Fa-f]{2}[^?]*)(?:\?=|\Z))"
)
_q_octet = re.compile(rb"=([0-9A-Fa-f]{2})")
_charset_punctuation = re.compile(rb"[^A-Za-z0-9.]+")


def decode_encoded_word(text: str, pos: int) -> tuple[str, int] | None:
    """``"=?" charset ["*" language] "?" ("q" / "b") "?" text "?="`` (RFC 2047).

    :returns: the text and the position after the word; None where there is no
        encoded word at *pos*, or where it cannot be decoded.
    """
    found = _encoded.match(text, pos)
    if found is None:
        return None
    try:
        octets = (found[3] or found[4] or "").encode("ascii", "surrogateescape")
        octets = _q_decoded(octets) if found[2] in "qQ" else _b_decoded(octets)
        return _in_charset(octets, found[1].partition("*")[0]), found.end()
    except ValueError:
        return None


def _q_decoded(octets: bytes) -> bytes:
    return _q_octet.sub(
        lambda octet: bytes((int(octet[1], 16),)), octets.replace(b"_", b" ")
    )


def _b_decoded(octets: bytes) -> bytes:
    for padding in (b"", b"=="):
        try:
            return binascii.a2b_base64(octets + padding)
        except binascii.Error:
            continue
    return octets


def _in_charset(octets: bytes, charset: str) -> str:
    try:
        codec = _codec_name(charset)
        try:
            return octets.decode(codec)
        except UnicodeDecodeError:
            return octets.decode(codec, "surrogateescape")
    except (LookupError, UnicodeEncodeError):
        return octets.decode("ascii", "surrogateescape")


def _codec_name(charset: str) -> str:
    """Find the one name under which Python keeps the codec of a charset.

    Python remembers for ever each name that it is asked for, known or not.  A
    client must not fill memory with names of its own making.
    """
    octets = charset.encode("utf-8")
    if b"\0" in octets:
        raise ValueError("NUL in the name of a charset")
    name = _charset_punctuation.sub(b"_", octets).strip(b"_").decode("ascii").lower()
    name = encodings.aliases.aliases.get(name.replace(".", "_"), name)
    if name not in _codec_names():
        raise LookupError("unknown charset")
    return name


@functools.lru_cache
def _codec_names() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(encodings.__path__))
