# The workers of a Sidekiq for tests: each job is written to the file DONE, as a line of JSON.
require "json"
require "sidekiq"

class HardWorker
  include Sidekiq::Worker

  def perform(*args)
    raise "boom ☠" if args.first == "fail"

    File.write(ENV.fetch("DONE"), JSON.dump([jid, args]) + "\n", mode: "a")
  end
end
