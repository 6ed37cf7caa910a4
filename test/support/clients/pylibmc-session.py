"""A pylibmc client (libmemcached) at work, in text or binary; prints what it saw, one JSON object without cas numbers.

Arguments: the port to connect to, and "text" or "binary".
"""

import json
import sys

import pylibmc

client = pylibmc.Client(
    [f"127.0.0.1:{sys.argv[1]}"],
    binary=sys.argv[2] == "binary",
    behaviors={"cas": True, "tcp_nodelay": True, "receive_timeout": 5_000_000},
)
seen = {}


def attempt(call, *args):
    """What the call returns, or the name of the error it raises: the protocols differ in that."""
    try:
        return call(*args)
    except pylibmc.Error as error:
        return type(error).__name__


seen["set"] = client.set("s", "text")
seen["types"] = [client.set("i", 5), client.set("o", [1, None]), client.get("s"), client.get("i"), client.get("o")]
seen["none"] = client.get("nowhere")
keys = {f"key:{i}": i for i in range(500)}
seen["set_multi"] = client.set_multi(keys)
seen["get_multi"] = client.get_multi(list(keys)) == keys
seen["get_multi with misses"] = client.get_multi(["s", "nowhere", "i"])
value, cas = client.gets("s")
seen["cas"] = [value, attempt(client.cas, "s", "newer", cas), attempt(client.cas, "s", "late", cas), client.get("s")]
seen["add"] = [attempt(client.add, "s", 1), client.add("t", 1)]
seen["replace"] = [client.replace("t", 2), attempt(client.replace, "nowhere", 1)]
seen["count"] = [client.incr("i"), client.incr("i", 10), client.decr("i", 3), attempt(client.incr, "nowhere")]
seen["append"] = [client.append("s", "!"), client.prepend("s", "?"), client.get("s")]
seen["touch"] = [attempt(client.touch, "s", 100), attempt(client.touch, "nowhere", 100)]
seen["delete"] = [client.delete("s"), attempt(client.delete, "s"), client.get("s")]
seen["delete_multi"] = client.delete_multi(["i", "t"])
big = b"\r\n\x00" * 300_000
seen["big"] = [client.set("big", big), client.get("big") == big]
filled = client.get("hello/Bob")
many = client.get_multi(["hello/Tim", "nowhere"])
seen["filled"] = [filled and filled.decode(), {key: value.decode() for key, value in many.items()}]
seen["flush"] = [client.flush_all(), client.get("key:1")]
print(json.dumps(seen))
