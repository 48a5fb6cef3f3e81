"""``python -m smtpd_compat``"""

from ._commandline import main

main()
