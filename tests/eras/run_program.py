"""Run a program of old as it stands: ``run_program.py MODULE PROGRAM 0 [ARGUMENT...]``.

MODULE says what ``import smtpd`` finds: smtpd_compat, or smtpd for the interpreter's
own.  Python 2.7 can read this file, too, so that the programs prove their age.

The program is unchanged: it runs as ``__main__``, with the arguments in ``sys.argv``.
What is added is a line on standard output, with the port that the system chose, when
the program enters asyncore's loop.
"""

import os
import runpy
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def announce_port(loop):
    def announcing_loop(timeout=30.0, use_poll=False, map=None, count=None):
        for dispatcher in (asyncore.socket_map if map is None else map).values():
            if dispatcher.accepting:
                port = dispatcher.socket.getsockname()[1]
                sys.stdout.write("listening on " + str(port) + "\n")
                sys.stdout.flush()
        loop(timeout, use_poll, map, count)

    return announcing_loop


if __name__ == "__main__":
    module, program = sys.argv[1:3]
    if module == "smtpd_compat":
        sys.path[0] = os.path.dirname(os.path.dirname(HERE))
        import smtpd_compat

        smtpd_compat.install_as_smtpd()
        # Loaded by the package, it does not warn that it will go.
        smtpd_compat.asyncore  # noqa: B018
    import asyncore

    asyncore.loop = announce_port(asyncore.loop)
    sys.argv = sys.argv[2:]
    runpy.run_path(program, run_name="__main__")
