"""A pylibmc client (libmemcached) that logs in by SASL; prints what it saw, one JSON object. Arguments: port, user, password."""

import json
import sys

import pylibmc

port, username, password = sys.argv[1:]
client = pylibmc.Client([f"127.0.0.1:{port}"], binary=True, username=username, password=password)


def attempt(call, *args):
    """What the call returns, or that it raised an error."""
    try:
        return call(*args)
    except pylibmc.Error:
        return "error"


seen = {}
seen["set"] = attempt(client.set, "app1:pylibmc", "v")
seen["get"] = attempt(client.get, "app1:pylibmc")
seen["get_multi"] = attempt(client.get_multi, ["app1:pylibmc", "app1:none"])
seen["denied"] = attempt(client.set, "other", "v")
seen["afterwards"] = attempt(client.get, "app1:pylibmc")
print(json.dumps(seen))
