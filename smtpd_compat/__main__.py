"""``python -m smtpd_compat``, and the command ``smtpd_compat``."""

# What is underneath `signal`; that takes long to load, for the sake of its enums.
import _signal  # type: ignore[import-not-found]
import sys

if __name__ == "__main__":
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        # Nothing is in hand while it starts: Ctrl-C is just the end, and no traceback.
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import smtpd_compat  # noqa: E402

# By its full name, or after install_as_smtpd() `python -m smtpd` would import it anew.
from smtpd_compat._commandline import main  # noqa: E402


def command() -> None:
    """What the console script runs: as with ``-m``, classes may be in this folder."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, "")
    main()


if __name__ == "__main__":
    # While the package was imported, this was "-m" still.
    smtpd_compat.program = sys.argv[0]
    main()
