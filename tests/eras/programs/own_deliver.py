# 3.4: a PureProxy that logs in upstream.
import smtpd, asyncore, smtplib, sys

class Authenticated(smtpd.PureProxy):
    def _deliver(self, mailfrom, rcpttos, data):
        upstream = smtplib.SMTP(self._remoteaddr[0], self._remoteaddr[1])
        try:
            print("logging in, %d lines" % len(data.splitlines()))
            return upstream.sendmail(mailfrom, rcpttos, data)
        finally:
            upstream.quit()

Authenticated(("127.0.0.1", int(sys.argv[1])), ("127.0.0.1", int(sys.argv[2])))
asyncore.loop()
