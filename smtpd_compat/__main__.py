"""``python -m smtpd_compat``"""

import sys

import smtpd_compat

# By its full name, or after install_as_smtpd() `python -m smtpd` would import it anew.
from smtpd_compat._commandline import main

if __name__ == "__main__":
    # While the package was imported, this was "-m" still.
    smtpd_compat.program = sys.argv[0]
    main()
