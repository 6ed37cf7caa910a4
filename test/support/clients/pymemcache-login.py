"""A pymemcache client that logs in by memcached's text authentication; prints what it saw. Arguments: port, user, password."""

import json
import sys

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

port, username, password = sys.argv[1:]
client = Client(("127.0.0.1", int(port)), timeout=5, connect_timeout=5, no_delay=True)


def attempt(call, *args, **options):
    """What the call returns, or that it raised an error."""
    try:
        return call(*args, **options)
    except MemcacheError:
        return "error"


seen = {}
seen["login"] = attempt(client.set, "any", f"{username} {password}", noreply=False)
seen["set"] = attempt(client.set, "app1:py", "v", noreply=False)
value = attempt(client.get, "app1:py")
seen["get"] = value.decode() if isinstance(value, bytes) else value
print(json.dumps(seen))
