# Runs the line of a Rails configuration in the first argument, which sets config.cache_store, and reads the keys in the other
# arguments from that store. Prints one JSON array.
require "active_support"
require "active_support/cache"
require "active_support/notifications"
require "json"

line, *keys = ARGV
config = Struct.new(:cache_store).new
eval(line)
cache = ActiveSupport::Cache.lookup_store(*config.cache_store)
puts JSON.generate(keys.map { |key| cache.read(key) })
