"""``python -m smtpd_compat``"""

import sys

import smtpd_compat

from ._commandline import main

if __name__ == "__main__":
    # While the package was imported, this was "-m" still.
    smtpd_compat.program = sys.argv[0]
    main()
