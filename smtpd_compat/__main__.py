"""``python -m smtpd_compat``, and the command ``smtpd_compat``."""

import sys

import smtpd_compat

# By its full name, or after install_as_smtpd() `python -m smtpd` would import it anew.
from smtpd_compat._commandline import main


def command() -> None:
    """What the console script runs: as with ``-m``, classes may be in this folder."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, "")
    main()


if __name__ == "__main__":
    # While the package was imported, this was "-m" still.
    smtpd_compat.program = sys.argv[0]
    main()
