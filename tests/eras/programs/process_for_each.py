# 2.7: forks for every client; the child serves it and is gone.
import smtpd, asyncore, os, signal, sys

class Channel(smtpd.SMTPChannel):
    def handle_close(self):
        smtpd.SMTPChannel.handle_close(self)
        os._exit(0)

    def smtp_QUIT(self, arg):
        self.push("221 Bye")
        self.handle_close()

class Forking(smtpd.SMTPServer):
    def handle_accept(self):
        conn, addr = self.accept()
        if os.fork():
            conn.close()
            return
        Channel(self, conn, addr)
        self.close()
        asyncore.loop()
        os._exit(1)

    def process_message(self, peer, mailfrom, rcpttos, data):
        sys.stdout.write("mail from %s\n" % mailfrom)
        sys.stdout.flush()

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
Forking(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
