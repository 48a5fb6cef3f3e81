# 3.3 to 3.5: AUTH LOGIN, driven by found_terminator, where lines are text.
import smtpd, asyncore, base64, sys

def ask(word):
    return "334 " + base64.b64encode(word.encode()).decode()

class LoginChannel(smtpd.SMTPChannel):
    asking = None

    def found_terminator(self):
        if not self.asking:
            smtpd.SMTPChannel.found_terminator(self)
            return
        line = ''.join(self.received_lines)
        self.received_lines = []
        answer = base64.b64decode(line).decode()
        print("%s: %s" % (self.asking, answer))
        if self.asking == "Username":
            self.asking = "Password"
            self.push(ask("Password"))
        else:
            self.asking = None
            self.push("235 welcome")

    def smtp_EHLO(self, arg):
        self.push("250-hello")
        self.push("250 AUTH LOGIN")

    def smtp_AUTH(self, arg):
        self.asking = "Username"
        self.push(ask("Username"))

class Server(smtpd.SMTPServer):
    channel_class = LoginChannel

    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom)

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
