# The jobs that are still Ruby's: sidekiq -r ./invoices.rb
require_relative "mail"

class InvoiceJob
  include Sidekiq::Worker

  def perform(number, email)
    File.write("invoices.txt", "invoice of order #{number}\n", mode: "a")
    MailJob.perform_async(email, "Your invoice of order #{number}")
  end
end
