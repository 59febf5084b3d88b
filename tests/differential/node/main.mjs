// Runs the core behaviours with amqplib and prints one JSON object: the observation of each, by name.
//
// The names are those of the list in ../behaviours. Usage: node main.mjs URL, the URL being that of an empty vhost.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";

const LIMIT_MS = 10_000;
const QUIET_ROUNDS = 40; // a queue that is empty so many times stays empty
const ROUND_MS = 5;
const server = new URL(process.argv[2]);
const vhost = decodeURIComponent(server.pathname.slice(1)) || "/";
const quorum = (more = {}) => ({ "x-queue-type": "quorum", ...more });

// One behaviour's access to the broker: a queue name that no other behaviour uses, and the connections it has opened.
class Probe {
  constructor(queue) {
    this.queue = queue;
    this.connections = [];
  }

  async connect(url = server.href) {
    const connection = await amqp.connect(url);
    connection.on("error", () => {}); // the behaviour reads the refusal from another event
    this.connections.push(connection);
    return connection;
  }

  // A channel with confirms on a new connection; `failure` says how the broker closes the channel.
  async channel() {
    const channel = await (await this.connect()).createConfirmChannel();
    channel.failure = once(channel, "error").then(([error]) => error, () => {});
    channel.on("error", () => {});
    return channel;
  }

  async close() {
    for (const connection of this.connections) await connection.close().catch(() => {});
  }

  declare(channel, args = {}) {
    return channel.assertQueue(this.queue, { durable: true, arguments: args });
  }

  async withLetters() {
    const channel = await this.channel();
    await channel.assertQueue(`${this.queue}.dead`, { durable: true });
    await this.declare(channel, {
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": `${this.queue}.dead`,
    });
    return channel;
  }

  put(channel, body, options = {}) {
    return publish(channel, "", this.queue, body, { persistent: true, ...options });
  }

  async consume(channel) {
    const inbox = new Inbox(channel, this.queue);
    await channel.consume(this.queue, (message) => inbox.arrive(message));
    return inbox;
  }

  // An error of the broker without the names that differ: those of the vhost and of the queue.
  refusal(error) {
    const text = error.message.replace(/^[^"]*"/, "").replace(/"$/, "");
    return `${error.code} ${text.replaceAll(`vhost '${vhost}'`, "vhost '/'").replaceAll(`'${this.queue}'`, "'q'")}`;
  }

  async refused(asked) {
    return asked.then(() => "accepted", (error) => this.refusal(error));
  }
}

class Inbox {
  messages = [];

  constructor(channel, queue) {
    Object.assign(this, { channel, queue });
  }

  arrive(message) {
    this.messages.push(message);
  }

  async next() {
    const ends = Date.now() + LIMIT_MS;
    while (!this.messages.length && Date.now() < ends) await sleep(ROUND_MS);
    return this.messages.shift();
  }

  async rest() {
    const found = [];
    for (let vain = 0; vain < QUIET_ROUNDS; vain++) {
      await this.channel.checkQueue(this.queue);
      if (this.messages.length) vain = -1;
      found.push(...this.messages.splice(0).map((message) => message.content.toString()));
      await sleep(ROUND_MS);
    }
    return found;
  }
}

// Publishes, and returns whether the message was acknowledged.
function publish(channel, exchange, key, body, options = {}) {
  return new Promise((resolve) =>
    channel.publish(exchange, key, Buffer.from(body), options, (error) => resolve(!error)),
  );
}

async function take(channel, queue, noAck = true) {
  for (const ends = Date.now() + LIMIT_MS; Date.now() < ends; await sleep(ROUND_MS)) {
    const message = await channel.get(queue, { noAck });
    if (message) return message;
  }
  throw new Error(`nothing comes to queue ${queue}`);
}

async function drain(channel, queue) {
  const found = [];
  for (let vain = 0; vain < QUIET_ROUNDS; vain++) {
    const message = await channel.get(queue, { noAck: true });
    if (message) {
      found.push(message.content.toString());
      vain = -1;
    } else await sleep(ROUND_MS);
  }
  return found;
}

function seen({ content, fields, properties }) {
  const { exchange, routingKey, redelivered } = fields;
  const { expiration = null, headers = {} } = properties;
  return { body: content.toString(), exchange, routingKey, redelivered, expiration, headers: timeless(headers) };
}

// amqplib gives a time as an object marked "timestamp".
function timeless(value) {
  if (Array.isArray(value)) return value.map(timeless);
  if (value === null || typeof value !== "object") return value;
  if (value["!"] === "timestamp") return "a time";
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, timeless(each)]));
}

const behaviours = {
  async a_missing_queue_is_not_found(probe) {
    return probe.refused((await probe.channel()).checkQueue("missing"));
  },

  async a_wrong_password_is_refused_and_the_client_is_told(probe) {
    const wrong = new URL(server.href);
    wrong.password = "wrong";
    return amqp.connect(wrong.href).then(() => "accepted", (error) => error.message);
  },

  async a_queue_is_not_made_transient_by_declaring_it_again(probe) {
    const channel = await probe.channel();
    await probe.declare(channel);
    return probe.refused(channel.assertQueue(probe.queue, { durable: false }));
  },

  async a_delivery_limit_is_not_changed_by_declaring_again(probe) {
    const channel = await probe.channel();
    await probe.declare(channel, quorum({ "x-delivery-limit": 20 }));
    return probe.refused(probe.declare(channel, quorum({ "x-delivery-limit": 21 })));
  },

  async another_connection_cannot_use_an_exclusive_queue(probe) {
    await (await probe.channel()).assertQueue(probe.queue, { exclusive: true, durable: false });
    return probe.refused((await probe.channel()).checkQueue(probe.queue));
  },

  async a_publish_is_confirmed(probe) {
    const channel = await probe.channel();
    await probe.declare(channel);
    return [await probe.put(channel, "one"), await drain(channel, probe.queue)];
  },

  async an_unroutable_message_comes_back_if_it_is_mandatory(probe) {
    const channel = await probe.channel();
    const back = once(channel, "return");
    const acked = await publish(channel, "amq.direct", "nowhere", "one", { mandatory: true });
    const [{ content, fields }] = await back;
    return [acked, fields.replyCode, fields.replyText, fields.exchange, fields.routingKey, content.toString()];
  },

  async publishing_to_a_missing_exchange_closes_the_channel(probe) {
    const channel = await probe.channel();
    publish(channel, "missing", "key", "one");
    return probe.refusal(await channel.failure);
  },

  async a_topic_exchange_knows_one_word_and_any_number(probe) {
    const channel = await probe.channel();
    const patterns = ["#", "*", "a.*", "a.#", "#.a", "*.b.#", "a.#.b", "", "a..b"];
    for (const [number, pattern] of patterns.entries()) {
      await channel.assertQueue(`${probe.queue}.${number}`, { durable: true });
      await channel.bindQueue(`${probe.queue}.${number}`, "amq.topic", pattern);
    }
    for (const key of ["", "a", "a.b", "a.b.c", "a..b", "b.a", "a.x.y.b", "."])
      await publish(channel, "amq.topic", key, key);
    const found = patterns.map(async (pattern, number) => [pattern, await drain(channel, `${probe.queue}.${number}`)]);
    return Object.fromEntries(await Promise.all(found));
  },

  async a_full_queue_that_rejects_publishes_says_so(probe) {
    const channel = await probe.channel();
    await probe.declare(channel, { "x-max-length": 1, "x-overflow": "reject-publish" });
    const confirms = [await probe.put(channel, "one"), await probe.put(channel, "two")];
    const taken = await take(channel, probe.queue);
    return [...confirms, taken.content.toString(), await probe.put(channel, "three")];
  },

  async messages_come_in_the_order_of_publishing(probe) {
    const channel = await probe.channel();
    await probe.declare(channel, quorum());
    for (const body of "abcdefghij") await probe.put(channel, body);
    return (await probe.consume(channel)).rest();
  },

  async get_says_how_many_are_left(probe) {
    const channel = await probe.channel();
    await probe.declare(channel);
    for (const body of ["one", "two", "three"]) await probe.put(channel, body);
    const left = [];
    for (let count = 0; count < 3; count++) left.push((await take(channel, probe.queue)).fields.messageCount);
    return [...left, await channel.get(probe.queue)];
  },

  async a_consumer_of_a_quorum_queue_holds_no_more_than_its_prefetch(probe) {
    const channel = await probe.channel();
    await probe.declare(channel, quorum());
    await channel.prefetch(2);
    const inbox = await probe.consume(channel);
    for (const body of "abcde") await probe.put(channel, body);
    const [first, second] = [await inbox.next(), await inbox.next()];
    const held = await inbox.rest();
    channel.ack(first);
    return [first.content.toString(), second.content.toString(), held, await inbox.rest()];
  },

  async two_consumers_of_a_quorum_queue_take_turns(probe) {
    const channel = await probe.channel();
    await probe.declare(channel, quorum());
    const inboxes = [];
    for (let count = 0; count < 2; count++) {
      const other = await probe.channel();
      await other.prefetch(2);
      inboxes.push(await probe.consume(other));
    }
    for (const body of "abcdef") await probe.put(channel, body);
    return Promise.all(inboxes.map((inbox) => inbox.rest()));
  },

  async a_consumer_is_told_when_its_queue_is_deleted(probe) {
    const channel = await probe.channel();
    await probe.declare(channel);
    const inbox = await probe.consume(channel);
    await (await probe.channel()).deleteQueue(probe.queue);
    return (await inbox.next()) === null;
  },

  async an_unknown_delivery_tag_is_a_precondition_failed(probe) {
    const channel = await probe.channel();
    channel.ack({ fields: { deliveryTag: 77 } });
    return probe.refusal(await channel.failure);
  },

  async a_message_returned_to_a_limited_queue_is_next_and_counted(probe) {
    const channel = await probe.channel();
    await probe.declare(channel, quorum({ "x-delivery-limit": 20 }));
    for (const body of "ab") await probe.put(channel, body);
    const told = [];
    for (let count = 0; count < 3; count++) {
      const message = await take(channel, probe.queue, false);
      told.push(seen(message));
      channel.nack(message, false, true);
    }
    return [...told, await drain(channel, probe.queue)];
  },

  async a_lost_connection_gives_back_in_order(probe) {
    const channel = await probe.channel();
    const other = await probe.channel();
    await probe.declare(channel, quorum({ "x-delivery-limit": 20 }));
    for (const body of "abc") await probe.put(channel, body);
    for (let count = 0; count < 2; count++) await take(other, probe.queue, false);
    await probe.connections[1].close();
    return [seen(await take(channel, probe.queue)), await drain(channel, probe.queue)];
  },

  async a_message_expires_after_its_own_time(probe) {
    const channel = await probe.withLetters();
    await probe.put(channel, "a", { expiration: "50" });
    return [seen(await take(channel, `${probe.queue}.dead`)), await drain(channel, probe.queue)];
  },

  async a_rejected_message_is_a_letter_that_does_not_expire(probe) {
    const channel = await probe.withLetters();
    await probe.put(channel, "a", { expiration: "60000", headers: { own: 1 } });
    channel.reject(await take(channel, probe.queue, false), false);
    return seen(await take(channel, `${probe.queue}.dead`));
  },
};

const found = {};
for (const [number, [name, observe]] of Object.entries(behaviours).entries()) {
  const probe = new Probe(`q${number}`);
  found[name] = await observe(probe);
  await probe.close();
}
console.log(JSON.stringify(found));
