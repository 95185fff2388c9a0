"""Plays a scenario with stomp.py (Debian: python3-stomp) and prints what it sees, a JSON object a line."""

import json
import queue
import ssl
import sys

import stomp

scenario, host, port, login, passcode, version, destination, ca = sys.argv[1:9]
source = destination + "-in"


def say(**seen):
    print(json.dumps(seen), flush=True)


class Events(stomp.ConnectionListener):
    def __init__(self):
        self.seen = queue.Queue()

    def on_connected(self, frame):
        self.version = frame.headers.get("version")

    def on_message(self, frame):
        self.seen.put(("message", frame))

    def on_receipt(self, frame):
        self.seen.put(("receipt", frame))

    def on_error(self, frame):
        self.seen.put(("error", frame))

    def on_disconnected(self):
        self.seen.put(("disconnected", None))

    def take(self, kind):
        while True:
            got, frame = self.seen.get(timeout=15)
            if got == kind:
                return frame


kinds = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}
options = {"auto_decode": False, "reconnect_attempts_max": -1, "reconnect_sleep_increase": 0}
if version != "1.0":
    options["heartbeats"] = (10000, 10000)


def make():
    made = kinds[version]([(host, int(port))], **options)
    heard = Events()
    made.set_listener("", heard)
    if ca:
        made.set_ssl([(host, int(port))], ca_certs=ca, ssl_version=ssl.PROTOCOL_TLS_CLIENT)
    return made, heard


client, events = make()


def subscribe(ack):
    client.subscribe(source, id="sub", ack=ack)


def take():
    return events.take("message")


def ack(frame, how="ack", transaction=None):
    names = {"1.0": ["message-id"], "1.1": ["message-id", "subscription"], "1.2": ["ack"]}[version]
    getattr(client, how)(*[frame.headers[name] for name in names], transaction=transaction)


def text(frame):
    return frame.body.decode()


def acknowledge(mode):
    subscribe(mode)
    frames = [take() for _ in range(3)]
    for frame in frames:
        say(message=text(frame))
    ack(frames[1])


def refused():
    try:
        client.connect(login, "wrong", wait=True)
    except stomp.exception.ConnectFailedException:
        say(refused=events.take("error").headers["message"])


def send():
    client.send(destination, "héllo", content_type="text/plain", headers={"kind": "a:b", "receipt": "sent"})
    say(receipt=events.take("receipt").headers["receipt-id"] == "sent")


def binary():
    subscribe("auto")
    body = take().body
    say(message=body.hex())
    client.send(destination, body)


def automatic():
    subscribe("auto")
    for _ in range(3):
        say(message=text(take()))


def nack():
    subscribe("client-individual")
    first = take()
    say(message=text(first), redelivered=first.headers.get("redelivered") == "true")
    ack(first, "nack")
    again = take()
    say(message=text(again), redelivered=again.headers.get("redelivered") == "true")
    ack(again)


def transaction():
    subscribe("client-individual")
    first, second = take(), take()
    client.begin("t1")
    client.send(destination, "undone", transaction="t1")
    ack(second, transaction="t1")
    client.abort("t1")
    client.begin("t2")
    client.send(destination, "done", transaction="t2")
    ack(first, transaction="t2")
    client.commit("t2")
    say(transactions=True)


def reconnect():
    subscribe("client-individual")
    say(message=text(take()), redelivered=False)
    events.take("disconnected")
    client.connect(login, passcode, wait=True)
    subscribe("client-individual")
    body = None
    while body != "end":
        frame = take()
        body = text(frame)
        say(message=body, redelivered=frame.headers.get("redelivered") == "true")
        ack(frame)


if scenario == "refused":
    refused()
    sys.exit()
# Its reader and its writer share one TLS socket, and now and then the first frame, or the socket, is lost between them.
for attempt in range(10):
    try:
        client.connect(login, passcode, wait=True)
        break
    except (stomp.exception.ConnectFailedException, stomp.exception.NotConnectedException, OSError):
        if not ca or attempt == 9:
            raise
        client, events = make()
if scenario == "connect":
    say(connected=events.version)
elif scenario in ("client", "client-individual"):
    acknowledge(scenario)
else:
    {
        "send": send,
        "binary": binary,
        "auto": automatic,
        "nack": nack,
        "transaction": transaction,
        "reconnect": reconnect,
    }[scenario]()
client.disconnect(receipt="bye")
events.take("receipt")
say(disconnected=True)
