"""The table of programs in docs/eras.md: ``python -m tests.eras.table``.

Every program runs on the standard library of Python 3.11 and here, and the same client
talks to both.  What is printed is what happened.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import sys
from collections.abc import Iterator
from typing import Any

from ..functional.processes import server_process
from ..support.upstream import upstream
from .programs_running import HERE, PROGRAMS, Running, running

MESSAGE = b"From: ann@example.com\r\nSubject: greetings\r\n\r\n> hello\r\nbye"

#: What the client says between its greeting and the mail.
BEFORE_MAIL = {
    "getsockname": ["XPEER"],
    "login_dialogue": ["AUTH LOGIN", "YW5u", "c2VjcmV0"],
    "own_ehlo": ["AUTH PLAIN AGFubgBzZWNyZXQ="],
    "own_terminator_and_ehlo": ["AUTH PLAIN AGFubgBzZWNyZXQ="],
    "push_bytes": ["XVERSION"],
    "send_text": ["NOOP"],
    "text_dialogue": ["XSUM 20 and 22"],
    "three_argument_channel": ["NOOP"],
}

#: Its client gives parameters with MAIL.
GIVES_PARAMETERS = ("own_extensions",)

#: Its second client finds nobody, and that is meant so.
ENDS_AFTER_ONE = ("listen_and_close",)

#: Its two banners are too much for smtplib, in every era.
LEFT_OUT = ("initialised_twice",)

_CAUGHT = re.compile(r"closing channel <(\S+) .*\(<class '(\w+)'>:(.*?) \[/", re.DOTALL)


def talk(name: str, address: Any) -> str:
    """Send a mail; say how it went."""
    step = "the connection"
    options = ["BODY=8BITMIME"] if name in GIVES_PARAMETERS else []
    try:
        with smtplib.SMTP(*address, timeout=5) as client:
            step = "the greeting"
            client.ehlo_or_helo_if_needed()
            if name == "starttls":
                step = "STARTTLS"
                client.starttls(context=ssl._create_unverified_context())
            for line in BEFORE_MAIL.get(name, []):
                step = line.split()[0]
                code = client.docmd(line)[0]
                if code >= 400:
                    return f"{code} for {step}"
            for step, say in (
                ("MAIL", lambda: client.mail("ann@example.com", options)),
                ("RCPT", lambda: client.rcpt("bob@example.com")),
                ("the message", lambda: client.data(MESSAGE)),
            ):
                code = say()[0]
                if code >= 400:
                    return f"{code} for {step}"
            return "mail taken"
    except smtplib.SMTPServerDisconnected as error:
        silent = "timed out" in str(error)
        return "no answer" if silent else dropped_at(step)
    except smtplib.SMTPResponseException as error:
        return f"{error.smtp_code} for {step}"
    except ConnectionRefusedError:
        return "nobody listens any more"
    except OSError:
        return dropped_at(step)


def dropped_at(step: str) -> str:
    """What it means that the server closes the connection."""
    if step == "the message":
        return "mail lost, connection dropped"
    return "connection dropped" + (f" at {step}" if step != "the connection" else "")


def outcome(name: str, python: str, module: str) -> str:
    """What happens to two clients, one after the other, of a program."""
    with upstream() as relay:
        arguments: list[object] = []
        if name in ("own_relay", "own_deliver"):
            arguments.append(relay.address[1])
        elif name == "starttls":
            arguments.append(HERE / "self_signed.pem")
        options = ("-W", "ignore")
        said = []
        program: Running | None = None
        try:
            with running(
                name, *arguments, python=python, module=module, options=options
            ) as program:
                said = [talk(name, program.address) for _ in range(2)]
        except AssertionError as error:
            last = re.sub(r" from '.*", "", str(error).strip().splitlines()[-1])
            return f"does not start: `{last}`"
    if said[0] == said[1] or name in ENDS_AFTER_ONE:
        del said[1]
    caught = _CAUGHT.search("\n".join(program.printed) + program.errors)
    if caught:
        said.append(f"`{caught[2]}: {caught[3]}`")
    return "; ".join(said)


def outcome_of_class(python: str, module: str) -> str:
    """What happens to a class of two arguments on the command line."""
    command = [python, "-W", "ignore", "-m", module]
    name = "tests.eras.classes.old_name.Printer"
    try:
        with server_process("-n", "-c", name, command=command) as server:
            return talk(name, (server.host, server.port))
    except AssertionError as error:
        ended = str(error).replace("\\n", "\n").replace("\\'", "'")
        last = ended.splitlines()[-2]  # what follows closes the text
        return f"does not start: `{last}`"


def rows(python: str) -> Iterator[list[str]]:
    """The table's rows: program, era, and what happens there and here.

    :param python: an interpreter 3.11.
    """
    sides = [(python, "smtpd"), (sys.executable, "smtpd_compat")]
    for path in sorted(PROGRAMS.glob("*.py")):
        if path.stem not in LEFT_OUT:
            about = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            yield [
                f"`{path.stem}`",
                about,
                *[outcome(path.stem, *side) for side in sides],
            ]
    yield [
        "`-c` with a class of `(localaddr, remoteaddr)` (`tests/eras/classes`)",
        "2.7: a class for the command line.",
        *[outcome_of_class(*side) for side in sides],
    ]


def main() -> None:
    """Print the table."""
    print("| Program | Era: what it does | On the standard library of 3.11 | Here |")
    print("|---|---|---|---|")
    for row in rows("python3.11"):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
