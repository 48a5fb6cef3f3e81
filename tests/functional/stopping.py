"""Servers that are busy when the command line is told to stop."""

import atexit
import time

import smtpd_compat as smtpd


class Slow(smtpd.SMTPServer):
    """It takes a second for a message, on the loop's thread."""

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print("begun")
        time.sleep(1)
        print("done")


class Threaded(Slow):
    """It does so in threads."""

    worker_threads = 20

    def process_message(self, *args, **kwargs):
        super().process_message(*args, **kwargs)


class Stuck(smtpd.SMTPServer):
    """It takes a minute for a message, and gives it half a second when it stops."""

    stop_timeout = 0.5

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        print("begun")
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001
            time.sleep(60)


class Saves(Stuck):
    """It saves something when the interpreter ends."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        atexit.register(print, "saved")


class StuckThreaded(Stuck):
    """It does so in threads."""

    worker_threads = 2

    def process_message(self, *args, **kwargs):
        super().process_message(*args, **kwargs)


class Patient(Stuck):
    """It gives a message an hour."""

    stop_timeout = 3600


class Closes(smtpd.SMTPServer):
    """It closes with its first message, which ends the command."""

    def process_message(self, *args, **kwargs):
        self.close()


class SlowToEnd(smtpd.SMTPServer):
    """It has more to do, at the interpreter's end, than a stop may take."""

    stop_timeout = 0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        atexit.register(self.save)

    def save(self):
        time.sleep(1.5)
        print("saved")


class SlowToStart(smtpd.SMTPServer):
    """It takes a minute to start."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        print("starting", flush=True)
        time.sleep(60)
