# 3.4: a decorator, without functools.wraps, that logs what it calls.
import smtpd, asyncore, sys

def logged(function):
    def wrapper(*args, **kwargs):
        result = function(*args, **kwargs)
        print("handled")
        return result
    return wrapper

class Server(smtpd.SMTPServer):
    @logged
    def process_message(self, peer, mailfrom, rcpttos, data):
        print("mail from " + mailfrom + ", " + data.split("\n")[0])

Server(("127.0.0.1", int(sys.argv[1])), None)
asyncore.loop()
