// Makes every call of the npm package mailpit-api to the server at MAILPIT_URL, and prints the shape of each answer.
import { MailpitClient } from "mailpit-api";

const mailpit = new MailpitClient(process.env.MAILPIT_URL);

function shape(value) {
  if (Array.isArray(value)) return value.length ? [shape(value[0])] : [];
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value) || value instanceof Blob) return "bytes";
  if (value === null || typeof value !== "object") return typeof value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, shape(value[key])]));
}

const answers = {};
async function call(name, ...words) {
  try {
    const answer = await mailpit[name](...words);
    answers[name] = shape(answer);
    return answer;
  } catch (error) {
    const status = /\b([45]\d\d)\b/.exec(String(error.message));
    answers[name] = `refused with ${status ? status[1] : error.message}`;
    return undefined;
  }
}

await call("deleteMessages");
const { ID: id } = await call("sendMessage", {
  From: { Email: "me@example.org", Name: "Me" },
  To: [{ Email: "ada@example.org", Name: "Ada" }],
  Subject: "Welcome",
  Text: "Your code is 493817.",
  HTML: '<p>See <a href="https://example.org/">this</a></p>',
  Attachments: [{ Filename: "a.png", ContentType: "image/png", Content: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==" }],
  Tags: ["first"],
});
await call("listMessages");
await call("searchMessages", { query: "subject:Welcome" });
await call("waitForMessage", { query: "subject:Welcome" }, { timeout: 20000, interval: 50 });
await call("waitForMessages", { query: "subject:Welcome", count: 1 }, { timeout: 20000, interval: 50 });
const mail = await call("getMessageSummary", id);
await call("getMessageHeaders", id);
await call("getMessageSource", id);
await call("getMessageAttachment", id, mail.Attachments[0].PartID);
await call("getAttachmentThumbnail", id, mail.Attachments[0].PartID);
await call("renderMessageHTML", id);
await call("renderMessageText", id);
await call("htmlCheck", id);
await call("linkCheck", id);
await call("spamAssassinCheck", id);
await call("releaseMessage", id, { To: ["ada@example.org"] });
await call("setReadStatus", { Read: false, IDs: [id] });
await call("setTags", { Tags: ["first", "second"], IDs: [id] });
await call("renameTag", "second", "third");
await call("deleteTag", "first");
await call("getTags");
await call("setChaosTriggers", { Recipient: { ErrorCode: 451, Probability: 100 } });
await call("getChaosTriggers");
await call("setChaosTriggers");
await call("getInfo");
await call("getConfiguration");
await call("deleteMessagesBySearch", { query: "subject:Welcome" });
answers["mails left"] = (await mailpit.listMessages()).total;
answers["calls"] = Object.getOwnPropertyNames(MailpitClient.prototype).filter((name) => name !== "constructor" && name !== "request").sort();
console.log(JSON.stringify(answers));
