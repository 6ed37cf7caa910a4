# Rails.cache at work: ActiveSupport's MemCacheStore with the options that config/rails.toml names, pointed straight at
# the port in the first argument. Prints what it saw, one JSON object.
require "active_support"
require "active_support/cache"
require "active_support/cache/mem_cache_store"
require "active_support/notifications"
require "json"
require "socket"

port = ARGV[0]
# value_max_bytes is Dalli's own bound: raised, so that the server decides.
options = { namespace: "myapp", value_max_bytes: 8 * 1024 * 1024 }
raw = ActiveSupport::Cache::MemCacheStore.new("127.0.0.1:#{port}", { **options, raw: true })
plain = ActiveSupport::Cache::MemCacheStore.new("127.0.0.1:#{port}", options)
other = ActiveSupport::Cache::MemCacheStore.new("127.0.0.1:#{port}", { namespace: "other", raw: true })

# What stands in the cache, as a text client sees it: without Rails.
ask = lambda do |line|
  TCPSocket.open("127.0.0.1", port) do |socket|
    socket.write("#{line}\r\n")
    socket.gets.chomp
  end
end
text = ->(value) { value&.dup&.force_encoding("utf-8") }
is_true = ->(value) { value ? true : false }

seen = {}
seen["read filled"] = raw.read("articles/one")
seen["exist? filled"] = [raw.exist?("articles/two"), raw.exist?("articles/none")]
seen["fetch filled"] = raw.fetch("articles/three") { "from the block" }
seen["fetch not there"] = raw.fetch("articles/nothing") { "from the block" }
seen["read_multi filled"] = raw.read_multi("articles/four", "articles/one", "nowhere")
seen["fetch_multi filled"] = raw.fetch_multi("articles/five", "m0") { |key| "made #{key}" }
seen["unicode filled"] = text.(raw.read("articles/clé d'été 100%"))
seen["unicode filled again"] = text.(raw.read("articles/clé d'été 100%"))
seen["long key not filled"] = raw.read("articles/#{"k" * 400}")
seen["namespace not covered"] = other.read("articles/one")
seen["filled without raw"] = plain.read("articles/one")

seen["write"] = is_true.(raw.write("a", "one"))
seen["read"] = raw.read("a")
seen["namespace"] = [other.read("a"), is_true.(other.write("a", "another")), raw.read("a"), other.read("a")]
seen["fetch"] = [raw.fetch("b") { "two" }, raw.fetch("b") { "three" }]
seen["read_multi"] = raw.read_multi("a", "b", "nowhere")
raw.write_multi("m1" => "1", "m2" => "2")
seen["write_multi"] = raw.read_multi("m1", "m2")
seen["fetch_multi"] = raw.fetch_multi("m1", "m3") { |key| "made #{key}" }
seen["exist?"] = [raw.exist?("a"), raw.exist?("nowhere")]
raw.write("n", 5)
seen["increment"] = [raw.increment("n"), raw.increment("n", 10), raw.increment("nowhere")]
seen["decrement"] = [raw.decrement("n", 3), raw.decrement("n", 100)]
seen["delete"] = [raw.delete("a"), raw.delete("a"), raw.read("a")]
seen["unless_exist"] = [is_true.(raw.write("u", "1", unless_exist: true)), is_true.(raw.write("u", "2", unless_exist: true))]
raw.write("brief", "1", expires_in: 100)
raw.write("lasting", "1")
seen["expires_in"] = [ask.("mg myapp:brief t")[/t(\d+)/, 1].to_i.between?(90, 100), ask.("mg myapp:lasting t")]
seen["unicode key"] = [is_true.(raw.write("clé/é x", "é")), text.(raw.read("clé/é x")), ask.("mg myapp:cl%C3%A9/%C3%A9%20x s")]
seen["long key"] = [is_true.(raw.write("k" * 400, "long")), raw.read("k" * 400), raw.read("k" * 401)]

seen["marshal"] = [is_true.(plain.write("o", { "a" => [1, nil, :b] })), plain.read("o")]
seen["marshal fetch"] = [plain.fetch("p") { [1] }, plain.fetch("p") { [2] }]
raw.write("r", "raw")
seen["side by side"] = [raw.read("r"), plain.read("o") == { "a" => [1, nil, :b] }, plain.read_multi("o", "p").keys]
seen["flags"] = [ask.("mg myapp:r f"), ask.("mg myapp:o f"), ask.("mg myapp:articles/one f")]

big = "x" * 1_200_000
raw.write("big", "small")
seen["1.2 MB"] = [is_true.(raw.write("big", big)), raw.read("big")&.size]
seen["1.2 MB packed"] = [is_true.(plain.write("packed", big, compress: true)), plain.read("packed") == big]

seen["clear"] = [is_true.(raw.clear), raw.read("m1"), other.read("a"), plain.read("o")]
seen["filled again"] = raw.read("articles/one")
puts JSON.generate(seen)
