// A consumer of email/1 in Node: `npm ci`, then `node consumer.mjs`. Meant to be copied.
//
// The settings are environment variables: AMQP_URL, AMQP_QUEUE, AMQP_DEAD_EXCHANGE, SMTP_HOST, SMTP_PORT, MAIL_FROM, and
// CONTRACT_DIR, the folder of the published contracts. The ids of mailed messages are kept in memory only, so a message may be
// mailed twice after a crash. A database table of message ids, with a row written before the ack, makes such duplicates rare.
import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";
import SMTPConnection from "nodemailer/lib/smtp-connection/index.js";
import { contract, Refused } from "./contract.mjs";

const { AMQP_URL, AMQP_QUEUE, AMQP_DEAD_EXCHANGE, SMTP_HOST, SMTP_PORT, MAIL_FROM, CONTRACT_DIR } = process.env;
const PREFETCH = 10;
const REMEMBERED = 100_000;
const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 300_000;
const GOODBYE_MS = 15_000;
const WORD_BYTES = 42; // an encoded word has at most 75 characters, and base64 makes 4 bytes of 3

const read = contract(CONTRACT_DIR);
const mailed = new Set();
const stopping = new AbortController();
process.on("SIGTERM", () => stopping.abort());

/** Sends one mail; throws Refused for a permanent refusal, any other error may be tried again. */
async function send({ to, subject, text }) {
  // The connection is used directly, because nodemailer's transports write domains in lower case.
  const server = new SMTPConnection({ host: SMTP_HOST, port: Number(SMTP_PORT), ignoreTLS: true });
  try {
    await new Promise((resolve, reject) => {
      server.on("error", reject);
      server.on("end", () => reject(new Error("the mail server hung up")));
      server.connect(() => {
        server.send({ from: MAIL_FROM, to: [to] }, mime(to, subject, text), (error) => (error ? reject(error) : resolve()));
      });
    });
  } catch (error) {
    if (error.responseCode >= 500) throw new Refused("smtp_permanent");
    throw error;
  } finally {
    server.quit();
  }
}

/** Writes a mail; the text is encoded in base64, so that it arrives unchanged. */
function mime(to, subject, text) {
  const isPlain = /^[ -~]{1,59}$/.test(subject) && !subject.includes("=?");
  const domain = MAIL_FROM.split("@")[1];
  return [
    `From: ${MAIL_FROM}`,
    `To: ${to}`,
    `Subject: ${isPlain ? subject : encoded(subject)}`,
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${crypto.randomUUID()}@${domain}>`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    Buffer.from(text).toString("base64").replace(/.{76}/g, "$&\r\n"),
    "",
  ].join("\r\n");
}

/** Writes a header's text as encoded words that never split a character (RFC 2047). */
function encoded(text) {
  const words = [""];
  for (const character of text) {
    if (Buffer.byteLength(words.at(-1) + character) > WORD_BYTES) words.push("");
    words[words.length - 1] += character;
  }
  return words.map((word) => `=?utf-8?b?${Buffer.from(word).toString("base64")}?=`).join("\r\n ");
}

/** Mails a message and acknowledges it, publishes it as a dead letter, or tries again later. */
async function handle(channel, message, lost) {
  const { messageId } = message.properties;
  for (let delay = FIRST_DELAY_MS; !mailed.has(messageId); delay = Math.min(2 * delay, LONGEST_DELAY_MS)) {
    try {
      await send(read(message.content, message.properties));
      remember(messageId);
      break;
    } catch (error) {
      if (error instanceof Refused) {
        await bury(channel, message, error);
        break;
      }
      console.error(`the mail server does not take a mail; next try in ${delay} ms: ${error.code}`);
      await sleep(delay, undefined, { signal: lost });
    }
  }
  if (!lost.aborted || stopping.signal.aborted) channel.ack(message);
}

function remember(messageId) {
  if (messageId !== undefined) mailed.add(messageId);
  if (mailed.size > REMEMBERED) mailed.delete(mailed.values().next().value);
}

/** Publishes a dead letter with the message's properties and headers, and waits for the confirm. */
async function bury(channel, { content, properties }, refused) {
  const headers = { ...properties.headers, ...refused.headers };
  channel.publish(AMQP_DEAD_EXCHANGE, "", content, { ...properties, headers, mandatory: true });
  await channel.waitForConfirms();
}

/** Consumes on one connection until the connection breaks, which is an error, or until the program must stop. */
async function serve() {
  const connection = await amqp.connect(AMQP_URL);
  const lost = new AbortController();
  const broken = new Promise((_, reject) => connection.on("close", () => reject(new Error("the connection broke"))));
  broken.catch(() => lost.abort());
  connection.on("error", () => {}); // the event "close" follows
  const channel = await connection.createConfirmChannel();
  channel.on("error", () => {});
  await channel.prefetch(PREFETCH);
  const under = new Set();
  const { consumerTag } = await channel.consume(AMQP_QUEUE, (message) => {
    if (message === null) {
      connection.close(); // the broker cancelled the consumer, because the queue was deleted: connect again
      return;
    }
    const handling = handle(channel, message, lost.signal)
      .catch((error) => lost.signal.aborted || console.error(error))
      .finally(() => under.delete(handling));
    under.add(handling);
  });
  const stopped = new Promise((resolve) => {
    if (stopping.signal.aborted) resolve();
    stopping.signal.addEventListener("abort", resolve);
  });
  await Promise.race([broken, stopped]);
  await channel.cancel(consumerTag);
  lost.abort(); // messages that wait for their next try return to the queue
  await Promise.race([Promise.allSettled(under), sleep(GOODBYE_MS)]);
  await connection.close();
}

while (!stopping.signal.aborted) {
  try {
    await serve();
  } catch (error) {
    console.error(`no connection to the broker; next try in 1 s: ${error.message}`);
    await sleep(1_000);
  }
}
process.exit(0);
