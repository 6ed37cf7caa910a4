# A Dalli client that logs in by SASL; prints what it saw, one JSON object. Arguments: port, user, password.
require "dalli"
require "json"
require "logger"

Dalli.logger = Logger.new(File::NULL)
port, username, password = ARGV
client = Dalli::Client.new("127.0.0.1:#{port}", username: username, password: password, socket_timeout: 5)

def attempt
  yield
rescue Dalli::DalliError => e
  e.class.name
end

seen = {}
seen["set"] = attempt { client.set("app1:dalli", "v") ? true : false }
seen["get"] = attempt { client.get("app1:dalli") }
seen["get_multi"] = attempt { client.get_multi("app1:dalli", "app1:none") }
seen["denied"] = attempt { client.set("other", "v") }
seen["afterwards"] = attempt { client.get("app1:dalli") }
puts JSON.generate(seen)
