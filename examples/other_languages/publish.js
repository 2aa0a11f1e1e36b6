// Publishes an event with nothing but an AMQP client (amqplib):
//
//   node publish.js amqp://localhost/ order.paid '{"id": 17}' [SECONDS]

const amqp = require('amqplib')
const { randomUUID } = require('node:crypto')

const SITE = process.env.BRIDGE_NAMESPACE ?? 'bridge'

/** Return the exchange and the routing key for an event that is due after some seconds, at most 1,048,575. */
function destination(name, seconds) {
  if (seconds === 0) return [`${SITE}.events`, name]
  const bits = seconds.toString(2)
  const level = String(bits.length - 1).padStart(2, '0')
  return [`${SITE}.delay.${level}`, [...bits.padStart(20, '0'), 'e', name].join('.')]
}

/** Publish an event. When this returns, RabbitMQ has it on its disks. */
async function publish(connection, name, json, seconds = 0) {
  const messageId = randomUUID()
  const channel = await connection.createConfirmChannel()
  let returned = null
  channel.on('return', (message) => { returned = message.fields.replyText })
  const [exchange, key] = destination(name, seconds)
  channel.publish(exchange, key, Buffer.from(json), {
    persistent: true,
    mandatory: true,
    messageId,
    contentType: 'application/json',
    timestamp: Math.floor(Date.now() / 1000),
    appId: 'shop-node',
  })
  await channel.waitForConfirms() // rejects if RabbitMQ does: a queue or the disk is full
  await channel.close()
  if (returned !== null) throw new Error(`event ${name}: no queue takes it: ${returned}`)
  return messageId
}

async function main([url, name, json, seconds]) {
  const connection = await amqp.connect(url)
  try {
    console.log(await publish(connection, name, json, Number(seconds ?? 0)))
  } finally {
    await connection.close()
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
