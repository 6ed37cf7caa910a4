# Rails.cache at work: ActiveSupport's MemCacheStore pointed straight at the port in the first argument. Prints what it
# saw, one JSON object.
require "active_support"
require "active_support/cache"
require "active_support/cache/mem_cache_store"
require "active_support/notifications"
require "json"

server = "127.0.0.1:#{ARGV[0]}"
raw = ActiveSupport::Cache::MemCacheStore.new(server, raw: true)
plain = ActiveSupport::Cache::MemCacheStore.new(server, namespace: "app")
seen = {}
seen["read filled"] = raw.read("hello/Bob")
seen["exist? filled"] = raw.exist?("hello/Tim")
seen["fetch filled"] = raw.fetch("hello/Ann") { "from the block" }
seen["write"] = raw.write("a", "one", expires_in: 60) ? true : false
seen["read"] = raw.read("a")
seen["fetch"] = [raw.fetch("b") { "two" }, raw.fetch("b") { "three" }]
seen["read_multi"] = raw.read_multi("a", "b", "nowhere", "hello/Eve")
raw.write_multi("m1" => "1", "m2" => "2")
seen["write_multi"] = raw.read_multi("m1", "m2")
seen["fetch_multi"] = raw.fetch_multi("m1", "m3") { |key| "made #{key}" }
seen["exist?"] = [raw.exist?("a"), raw.exist?("nowhere")]
raw.write("n", 5)
seen["increment"] = [raw.increment("n"), raw.increment("n", 10), raw.decrement("n", 3)]
seen["delete"] = [raw.delete("a"), raw.delete("a"), raw.read("a")]
seen["unless_exist"] = [raw.write("u", "1", unless_exist: true) ? true : false, raw.write("u", "2", unless_exist: true) ? true : false]
seen["unicode"] = [raw.write("clé/é x", "é") ? true : false, raw.read("clé/é x")&.force_encoding("utf-8")]
seen["long key"] = [raw.write("k" * 400, "long") ? true : false, raw.read("k" * 400)]
seen["marshal"] = [plain.write("o", { "a" => [1, nil, :b] }) ? true : false, plain.read("o"), plain.fetch("p") { [1] }, plain.fetch("p") { [2] }]
big = "x" * 1_200_000
raw.write("big", big)
seen["1.2 MB"] = raw.read("big").nil? || raw.read("big") == big
plain.write("packed", big, compress: true)
seen["1.2 MB packed"] = plain.read("packed") == big
raw.clear
seen["clear"] = [raw.read("m1"), plain.read("o")]
puts JSON.generate(seen)
