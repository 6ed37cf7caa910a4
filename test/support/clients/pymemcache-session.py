"""A pymemcache client at work: does what an application does and prints what it saw, one JSON object.

Arguments: the port to connect to.
"""

import json
import sys

from pymemcache.client.base import Client

client = Client(("127.0.0.1", int(sys.argv[1])), timeout=5, connect_timeout=5)
seen = {}

seen["version"] = client.version().decode()
seen["filled"] = client.get("price/apple").decode()
seen["again"] = client.get("price/apple").decode()
seen["filled_many"] = {k: v.decode() for k, v in client.get_many(["price/pear", "plain", "price/fig"]).items()}
value, cas = client.gets("price/plum")
seen["gets"] = [value.decode(), cas.isdigit() and int(cas) > 0]
seen["cas"] = client.cas("price/plum", "12", cas)
seen["not_there"] = client.get("price/nothing")

# pymemcache sends set, set_many and delete with noreply unless told otherwise.
client.set("plain", "one")
seen["noreply_set"] = client.get("plain").decode()
keys = {f"key:{i}": f"value {i}" for i in range(500)}
seen["set_many"] = client.set_many(keys)
seen["get_many"] = {k: v.decode() for k, v in client.get_many(list(keys)).items()} == keys
client.delete("plain")
seen["deleted"] = client.get("plain")
seen["add"] = [client.add("n", "9", noreply=False), client.add("n", "9", noreply=False)]
seen["incr"] = client.incr("n", 2)
seen["decr"] = client.decr("n", 1)
seen["append"] = [client.append("n", "!", noreply=False), client.get("n").decode()]
seen["prepend"] = [client.prepend("n", "?", noreply=False), client.get("n").decode()]
seen["replace"] = client.replace("nowhere", "x", noreply=False)
seen["touch"] = [client.touch("n", 100, noreply=False), client.touch("nowhere", 100, noreply=False)]
big = b"\x00\r\nEND\r\n" * 100_000
client.set("big", big, noreply=False)
seen["big"] = client.get("big") == big
seen["stats"] = int(client.stats()[b"curr_connections"]) >= 1
seen["flush_all"] = client.flush_all(noreply=False)
seen["flushed"] = client.get("key:1")
client.quit()
print(json.dumps(seen))
