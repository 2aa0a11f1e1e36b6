# Sidekiq's client, for tests: runs the Ruby code in its argument, and prints the result as JSON.
require "json"
require "sidekiq/api"
require_relative "workers"

class DeferEvent
  include Sidekiq::Worker
end

puts JSON.dump(eval(ARGV.fetch(0)))
