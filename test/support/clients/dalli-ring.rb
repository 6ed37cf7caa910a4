# Reads [{ "servers": ["host:port:weight"], "keys": [hex] }] and prints, for each, the index of every key's server as Dalli
# has it while all servers are up.
require "json"
require "dalli"

answers = JSON.parse($stdin.read).map do |set|
  servers = set["servers"].map { |server| Dalli::Protocol::Binary.new(server, {}) }
  ring = Dalli::Ring.new(servers, threadsafe: false)
  set["keys"].map do |hex|
    hash = ring.send(:hash_for, [hex].pack("H*"))
    servers.index(ring.send(:server_for_hash_key, hash))
  end
end
puts JSON.generate(answers)
