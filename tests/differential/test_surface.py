"""The names, signatures and values that programs see are the original's."""

from __future__ import annotations

import warnings

import pytest

import smtpd_compat

from . import original, surface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Parameters that ours take beside the original's.
_MORE_PARAMETERS = {
    ("PureProxy", "process_message"): [["VAR_KEYWORD", "kwargs", ""]],
    ("MailmanProxy", "process_message"): [["VAR_KEYWORD", "kwargs", ""]],
    ("PureProxy", "_deliver"): [["POSITIONAL_OR_KEYWORD", "mail_options", "()"]],
    ("MailmanProxy", "_deliver"): [["POSITIONAL_OR_KEYWORD", "mail_options", "()"]],
}


@pytest.fixture(scope="module")
def theirs() -> surface.Surface:
    if original.interpreter() is None:
        pytest.skip("no interpreter from 3.8 to 3.11 at hand, which had smtpd")
    return surface.of_original()


@pytest.fixture
def ours() -> surface.Surface:
    return surface.describe(smtpd_compat)


def test_every_name_of_the_module_is_there(
    theirs: surface.Surface, ours: surface.Surface
) -> None:
    missing = [name for name in theirs["names"] if not hasattr(smtpd_compat, name)]
    assert missing == []


def test_names_that_newer_originals_lack_are_there() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert smtpd_compat.EMPTYSTRING == ""
    assert issubclass(smtpd_compat.MailmanProxy, smtpd_compat.PureProxy)


def test_constants_have_the_values_of_the_original(
    theirs: surface.Surface, ours: surface.Surface
) -> None:
    expected = {name: theirs["values"][name] for name in theirs["values"]}
    del expected["program"]
    assert {name: ours["values"][name] for name in expected} == expected


def test_modules_of_the_namespace_are_the_modules_of_that_name(
    theirs: surface.Surface,
) -> None:
    for name in ("asynchat", "asyncore", "collections", "errno", "getopt", "os"):
        assert name in theirs["names"]
        assert getattr(smtpd_compat, name).__name__ == name
    for name in ("socket", "sys", "time"):
        assert name in theirs["names"]
        assert getattr(smtpd_compat, name).__name__ == name


def test_all_is_that_of_3_8_with_MailmanProxy() -> None:
    assert smtpd_compat.__all__ == [
        "SMTPChannel",
        "SMTPServer",
        "DebuggingServer",
        "PureProxy",
        "MailmanProxy",
    ]


def test_all_holds_what_the_original_s_holds(theirs: surface.Surface) -> None:
    assert set(theirs["all"]) <= set(smtpd_compat.__all__)


def test_functions_take_what_the_original_s_take(
    theirs: surface.Surface, ours: surface.Surface
) -> None:
    assert ours["functions"] == theirs["functions"]


def test_classes_have_the_attributes_and_signatures_of_the_original_s(
    theirs: surface.Surface, ours: surface.Surface
) -> None:
    for cls, attributes in theirs["classes"].items():
        for name, expected in attributes.items():
            found = ours["classes"][cls].get(name, "missing")
            assert found in _expected(cls, name, expected), (cls, name)


def _expected(cls: str, name: str, original: Any) -> list[Any]:
    """What ours may be where the original has *original*."""
    more: dict[Any, Any] = _MORE_PARAMETERS
    if (cls, name) in more:
        return [original + more[cls, name]]
    if name == "ac_in_buffer":
        return [original, "property"]
    return [original]


def test_classes_derive_from_what_the_original_s_derive_from(
    theirs: surface.Surface, ours: surface.Surface
) -> None:
    for cls, bases in theirs["bases"].items():
        assert [base for base in ours["bases"][cls] if base in bases] == bases


def test_public_classes_say_that_they_are_of_the_package() -> None:
    for name in ("SMTPServer", "SMTPChannel", "DebuggingServer", "PureProxy"):
        assert getattr(smtpd_compat, name).__module__ == "smtpd_compat"


def test_constructors_refuse_decode_data_with_SMTPUTF8_like_the_original_s() -> None:
    with pytest.raises(ValueError, match="decode_data and enable_SMTPUTF8"):
        smtpd_compat.SMTPServer(
            ("127.0.0.1", 0), None, map={}, enable_SMTPUTF8=True, decode_data=True
        )
