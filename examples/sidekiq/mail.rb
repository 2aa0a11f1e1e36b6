# The job that has moved to Python: what Ruby still needs of it is its name and its queue.
require "sidekiq"

class MailJob
  include Sidekiq::Worker
  sidekiq_options queue: "python"
end
