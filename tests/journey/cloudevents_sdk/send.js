// Sends events to the ingress with CloudEvents' own SDK, and prints each answer as a line of JSON: node send.js URL TOKEN

const { CloudEvent, HTTP, emitterFor, httpTransport } = require("cloudevents");

const [, , url, token] = process.argv;
const authorization = { authorization: `Bearer ${token}` };

const of = (id, data, more = {}) =>
  new CloudEvent({ id, source: "https://shop.example/orders", type: "kept.node", data, ...more });

async function post(name, { headers, body }) {
  const answer = await fetch(url, { method: "POST", headers: { ...headers, ...authorization }, body });
  console.log(JSON.stringify({ name, status: answer.status, answer: await answer.json() }));
}

async function emit(name, event, options) {
  // As the SDK sends by itself: its own emitter and its own transport.
  const answer = await emitterFor(httpTransport(url), options)(event, { headers: authorization });
  console.log(JSON.stringify({ name, status: 202, answer: JSON.parse(answer.body) }));
}

async function main() {
  const json = { name: "Zoë ☕", price: 9.5, list: [1, null] };
  await post("binary", HTTP.binary(of("1", json)));
  await post("structured", HTTP.structured(of("2", json, { subject: "order 2", tenant: "north" })));
  await post("binary bytes", HTTP.binary(of("3", Buffer.from([0, 255, 10]), { datacontenttype: "application/pdf" })));
  await post("structured bytes", HTTP.structured(of("4", new Uint8Array([0, 255, 10]), { datacontenttype: "application/pdf" })));
  await post("binary text", HTTP.binary(of("5", "grüße", { datacontenttype: "text/plain; charset=utf-8" })));
  await post("without data", HTTP.structured(of("6", undefined)));
  await emit("emitter", of("7", json), { mode: "structured" });
  const batch = (...events) => ({
    headers: { "content-type": "application/cloudevents-batch+json" },
    body: JSON.stringify(events),
  });
  await post("batch", batch(of("8", 8), of("9", 9), of("10", 10)));
  await post("empty batch", batch());
  await post("batch with a wrong one", batch(of("11", 11), of("12", 12).cloneWith({ type: "no good" })));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
