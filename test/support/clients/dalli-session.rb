# A Dalli client at work (binary protocol in Debian's 3.0): does what an application does and prints what it saw, one JSON
# object without cas numbers. Arguments: the port to connect to.
require "dalli"
require "json"

client = Dalli::Client.new("127.0.0.1:#{ARGV[0]}", socket_timeout: 5)
seen = {}
seen["set"] = client.set("a", { "x" => 1 }) ? true : false
seen["get"] = client.get("a")
seen["get_multi"] = client.get_multi("a", "b", "a")
seen["add"] = [client.add("a", 1) ? true : false, client.add("b", 1) ? true : false]
seen["replace"] = [client.replace("a", [2]) ? true : false, client.replace("nowhere", 1) ? true : false]
seen["replaced"] = client.get("a")
seen["incr"] = [client.incr("n", 1, 60, 5), client.incr("n"), client.decr("n", 2), client.incr("nowhere"), client.decr("n", 100)]
seen["delete"] = [client.delete("a"), client.delete("a"), client.get("a")]
seen["touch"] = [client.touch("n", 50), client.touch("nowhere", 50)]
seen["gat"] = client.gat("n", 60)
client.set("raw", "x", 0, raw: true)
seen["append"] = [client.append("raw", "y"), client.prepend("raw", "z"), client.append("nowhere", "y"), client.get("raw", raw: true)]
seen["cas"] = client.cas("raw") { |value| "#{value}!" } ? true : false
seen["after cas"] = client.get("raw")
value, cas = client.get_cas("raw")
seen["get_cas"] = [value, cas.positive?]
seen["set_cas"] = [client.set_cas("raw", "again", cas) ? true : false, client.set_cas("raw", "late", cas) ? true : false]
seen["delete_cas"] = client.delete_cas("raw", cas)
client.multi { 100.times { |i| client.set("k#{i}", i) } }
seen["multi"] = client.get_multi(*(0...100).map { |i| "k#{i}" }) == (0...100).to_h { |i| ["k#{i}", i] }
client.multi { 50.times { |i| client.delete("k#{i}") } }
seen["multi delete"] = client.get_multi(*(0...100).map { |i| "k#{i}" }).size
seen["unicode"] = [client.set("clé", "é") ? true : false, client.get("clé")]
seen["long key"] = [client.set("k" * 300, 1) ? true : false, client.get("k" * 300)]
big = "\x00\r\n".b * 300_000
client.set("big", big, 0, raw: true)
seen["big"] = client.get("big", raw: true) == big
seen["filled"] = [client.get("hello/Bob", raw: true), client.get_multi("hello/Tim", "n").keys.sort]
seen["version"] = client.version.values.all? { |version| version.match?(/\A\d+\.\d+\.\d+/) }
seen["stats"] = client.stats.values.first["curr_connections"].to_i.positive?
seen["flush"] = [client.flush, client.get("n")]
client.close
puts JSON.generate(seen)
