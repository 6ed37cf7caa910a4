# The application: reads an article four times, when it is told to on its standard input.
require "active_support"
require "active_support/cache"
require "active_support/cache/mem_cache_store"

$stdout.sync = true
cache = ActiveSupport::Cache::MemCacheStore.new("127.0.0.1:#{ARGV[0]}", { namespace: "myapp", raw: true, socket_timeout: 10 })
while $stdin.gets
  value = cache.read("articles/on-caching")
  puts value.nil? ? "a miss" : value
end
