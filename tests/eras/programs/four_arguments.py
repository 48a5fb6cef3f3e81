# 2.7: the names of the four arguments are everybody's own, the message is text.
import smtpd, asyncore, sys, email

class MailSink(smtpd.SMTPServer):
    def process_message(self, Peer, From, To, Data):
        message = email.message_from_string(Data)
        print("from %s to %s" % (From, ", ".join(To)))
        print("subject: %s" % message["Subject"])
        for line in Data.split("\n"):
            if line.startswith("> "):
                print("quoted: " + line[2:])

if __name__ == "__main__":
    MailSink(("127.0.0.1", int(sys.argv[1])), None)
    asyncore.loop()
