"""What programs do with text and with bytes, which fails on the other kind."""

from __future__ import annotations

import base64
import binascii
import codecs
import email
import email.parser
import gzip
import hashlib
import hmac
import html
import io
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
import zlib
from typing import Any


def _to_a_text_file(data: Any) -> None:
    with open(os.devnull, "w", encoding="utf-8") as file:
        file.write(data)


def _to_a_coded_file(data: Any) -> None:
    # As codecs.open returns it, which is deprecated from Python 3.14 on.
    with codecs.getwriter("utf-8")(open(os.devnull, "wb")) as file:
        file.write(data)


def _to_a_file(data: Any) -> None:
    with open(os.devnull, "wb") as file:
        file.write(data)


def _to_a_temporary_file(data: Any) -> None:
    with tempfile.TemporaryFile() as file:
        file.writelines([data])


def _to_a_packed_file(data: Any) -> None:
    with gzip.open(os.devnull, "wb") as file:
        file.write(data)


def _to_a_descriptor(data: Any) -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _to_a_socket(data: Any) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.sendall(data)


def _to_a_process(data: Any, **streams: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        **streams,
    )
    try:
        process.communicate(data)
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()


def _lines_in_json(data: Any) -> None:
    json.dumps({"mail": {"lines": [data]}})


#: Done with a message, or with a line, that is taken for `str`.
WITH_TEXT: dict[str, Any] = {
    "split": lambda d: d.split("\n"),
    "in": lambda d: "x" in d,
    "+": lambda d: d + "x",
    "+ on the left": lambda d: "x" + d,
    "join": lambda d: "".join([d]),
    "a text file": _to_a_text_file,
    "a file of codecs": _to_a_coded_file,
    "StringIO": lambda d: io.StringIO(d),
    "StringIO.write": lambda d: io.StringIO().write(d),
    "message_from_string": lambda d: email.message_from_string(d),
    "FeedParser": lambda d: email.parser.FeedParser().feed(d),
    "re.match": lambda d: re.match("x", d),
    "re.sub": lambda d: re.sub("x", "y", d),
    "a pattern": lambda d: re.compile("x").search(d),
    "startswith": lambda d: d.startswith("x"),
    "find": lambda d: d.find("x"),
    "count": lambda d: d.count("x"),
    "replace": lambda d: d.replace("x", "y"),
    "strip": lambda d: d.strip("\n"),
    "partition": lambda d: d.partition(":"),
    "encode": lambda d: d.encode("utf-8", "surrogateescape"),
    "format": lambda d: d.format(),
    "letters": lambda d: [letter.isalpha() for letter in d],
    "ord": lambda d: ord(d[0]),
    "json": _lines_in_json,
    "html.escape": lambda d: html.escape(d),
    "textwrap.dedent": lambda d: textwrap.dedent(d),
    "str.split": lambda d: str.split(d),
}

#: Done with a message that is taken for `bytes`.
WITH_BYTES: dict[str, Any] = {
    "split": lambda d: d.split(b"\n"),
    "in": lambda d: b"x" in d,
    "+": lambda d: d + b"x",
    "+ on the left": lambda d: b"x" + d,
    "join": lambda d: b"".join([d]),
    "a file": _to_a_file,
    "a temporary file": _to_a_temporary_file,
    "a packed file": _to_a_packed_file,
    "os.write": _to_a_descriptor,
    "sendall": _to_a_socket,
    "communicate": _to_a_process,
    "communicate with a pipe": lambda d: _to_a_process(d, stdout=subprocess.PIPE),
    "md5": lambda d: hashlib.md5(d),
    "update": lambda d: hashlib.sha256().update(d),
    "hmac": lambda d: hmac.new(b"key", d, "sha1"),
    "zlib": lambda d: zlib.compress(d),
    "crc32": lambda d: zlib.crc32(d),
    "base64": lambda d: base64.b64encode(d),
    "hexlify": lambda d: binascii.hexlify(d),
    "BytesIO": lambda d: io.BytesIO(d),
    "BytesIO.write": lambda d: io.BytesIO().write(d),
    "message_from_bytes": lambda d: email.message_from_bytes(d),
    "BytesFeedParser": lambda d: email.parser.BytesFeedParser().feed(d),
    "re.match": lambda d: re.match(b"x", d),
    "a pattern": lambda d: re.compile(b"x").search(d),
    "startswith": lambda d: d.startswith(b"x"),
    "find": lambda d: d.find(b"x"),
    "count": lambda d: d.count(b"x"),
    "replace": lambda d: d.replace(b"x", b"y"),
    "strip": lambda d: d.strip(b"\n"),
    "partition": lambda d: d.partition(b":"),
    "decode": lambda d: d.decode("utf-8", "surrogateescape"),
    "bytearray": lambda d: bytearray(d),
    "memoryview": lambda d: memoryview(d),
    "bytes.split": lambda d: bytes.split(d),
    "a pickle": lambda d: pickle.dumps(pickle.loads(pickle.dumps(d)) + b""),
}
