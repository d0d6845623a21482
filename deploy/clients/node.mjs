// Sends a command over HTTP and waits for its outcome. No packages; Node 18 or newer.
//   FULFILLMENT_URL=http://127.0.0.1:8080 FULFILLMENT_KEY=fk_... node node.mjs < command.json
import { randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const { FULFILLMENT_URL: base = "http://127.0.0.1:8080", FULFILLMENT_KEY: key = "" } = process.env;
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Whatever is not answered is asked again, with the same id: that is always safe.
async function ask(path, body, tries = 10) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  for (let n = 1; ; n++) {
    const answer = await fetch(base + path, {
      method: body ? "POST" : "GET", headers, body, signal: AbortSignal.timeout(70_000),
    }).catch((error) => ({ status: 0, error }));
    const mayHeal = answer.status === 0 || answer.status === 429 || answer.status >= 500;
    if (!mayHeal) return [answer.status, await answer.json()];
    if (n === tries) throw new Error(`not answered: ${answer.error ?? answer.status}`);
    await pause(Number(answer.headers?.get("retry-after") ?? 1));
  }
}

export async function send(command) {
  command = { command_id: randomUUID(), ...command };
  const [status, receipt] = await ask("/v1/commands", JSON.stringify(command));
  if (status !== 202) throw new Error(`${receipt.type}: ${receipt.detail}`);
  return receipt;
}

export async function outcome(location) {
  for (;;) {
    const [, command] = await ask(`${location}?wait=30`);
    if (command.state !== "pending") return command;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const receipt = await send(JSON.parse(await text(process.stdin)));
  console.log(JSON.stringify(await outcome(receipt.location)));
}
