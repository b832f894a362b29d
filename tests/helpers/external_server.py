"""A small foreign chat server, of the kind a student team hands in: its own protocol, its own rules, no chatlab.

A message is four digits of length and words between tabs, of which only the last may hold a tab.
`python external_server.py PORT` takes that port (0: any free one); a second argument makes it as careless as many are.
"""

import socketserver
import sys
import threading

lock = threading.Lock()
online = {}  # name -> the handlers of all who are logged in to it
mail = {}  # name -> what waits
careless = len(sys.argv) > 2


class Handler(socketserver.BaseRequestHandler):
    name = None

    def handle(self):
        while (head := self.read(4)) is not None:
            words = self.read(int(head)).decode().split("\t", -1 if careless else 2)
            with lock:
                self.say("re", *self.answer(*words))

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.request.recv(size - len(data))
            if not more:
                return None
            data += more
        return data

    def say(self, *words):
        body = "\t".join(words).encode()
        self.request.sendall(b"%04d" % len(body) + body)

    def answer(self, verb, name, text="", *_):
        if verb == "hello" and name in mail:
            return "taken", name
        if verb == "hello":
            mail[name] = []
        if name not in mail:
            return "unknown", name
        if verb in ("hello", "back"):
            return self.welcome(name)
        for handler in online.get(name, ()):
            handler.say("msg", self.name, text)
        if not online.get(name):
            mail[name].append((self.name, text))
        return "sent", "now" if online.get(name) else "later"

    def welcome(self, name):
        self.name = name
        online[name] = [self] if careless else [*online.get(name, []), self]
        waiting, mail[name] = mail[name], []
        for letter in waiting:
            self.say("msg", *letter)
        return "welcome", name

    def finish(self):
        with lock:
            if self in online.get(self.name, ()):
                online[self.name].remove(self)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
    print(f"bazaar open at {server.server_address[1]}", flush=True)
    server.serve_forever()
