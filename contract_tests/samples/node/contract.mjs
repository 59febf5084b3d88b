// A message of email/1: strict JSON, the published schema, and the subject rule. This file does not use AMQP or SMTP.
// contracts/email/1/README.md has the rules and their order.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv from "ajv/dist/2020.js";

/** The reason why a message is not mailed; `headers` are those of its dead letter. */
export class Refused extends Error {
  constructor(code, pointer, keyword) {
    super(code);
    this.headers = { "x-error-code": code };
    if (keyword !== undefined) Object.assign(this.headers, { "x-error-pointer": pointer, "x-error-keyword": keyword });
  }
}

/** Returns a function that reads a message: it returns `{to, subject, text}` or throws Refused. */
export function contract(folder) {
  const load = (name) => JSON.parse(readFileSync(join(folder, "email", "1", name), "utf8"));
  const { type, readers, limits } = load("binding.json");
  const validate = new Ajv({ strict: true, validateFormats: false }).compile(load("schema.json"));

  return function read(body, properties) {
    const mediaType = (properties.contentType ?? "").split(";")[0].replace(/^[ \t]+|[ \t]+$/g, "").toLowerCase();
    const encoding = (properties.contentEncoding ?? "").toLowerCase();
    if (properties.type && properties.type !== type) throw new Refused("unsupported_version");
    if (properties.contentType && !readers.content_types.includes(mediaType))
      throw new Refused("unsupported_content_type");
    if (encoding && !readers.content_encodings.includes(encoding)) throw new Refused("unsupported_content_encoding");
    const value = parse(body, limits);
    if (!validate(value)) {
      const [{ instancePath, keyword }] = validate.errors;
      throw new Refused("schema", instancePath, keyword);
    }
    return { to: value.email, subject: subject(value.message), text: value.message };
  };
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN|[{}[\]:,]|[^\s"{}[\]:,]+/g;
const STRING = /"(?:[^"\\]|\\[^])*"?/g;

function parse(body, limits) {
  if (body.length > limits.max_body_bytes) throw new Refused("too_large");
  // Latin-1 makes one character of each byte, so that the depth is counted before the text is decoded.
  if (depth(body.toString("latin1")) > limits.max_depth) throw new Refused("too_deep");
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new Refused("invalid_encoding");
  }
  if (text.startsWith("\ufeff")) throw new Refused("byte_order_mark");
  const faults = new Set();
  const plain = text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (token) => {
    if (token[0] === '"') return token;
    faults.add("invalid_number");
    return " 0 ";
  });
  let value;
  try {
    value = JSON.parse(plain);
  } catch {
    throw new Refused("invalid_json");
  }
  inspect(plain, faults);
  for (const code of ["invalid_number", "lone_surrogate", "duplicate_key"]) if (faults.has(code)) throw new Refused(code);
  return value;
}

/** Returns how deep objects and arrays nest; brackets in strings do not count. */
function depth(text) {
  let deepest = 0;
  let now = 0;
  for (const [bracket] of text.replace(STRING, "").matchAll(/[{}[\]]/g)) {
    now = "{[".includes(bracket) ? now + 1 : Math.max(0, now - 1);
    deepest = Math.max(deepest, now);
  }
  return deepest;
}

/** Searches valid JSON for faults that JSON.parse accepts silently. */
function inspect(text, faults) {
  const levels = []; // for each open object the names so far, for each open array null
  let previous = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{") levels.push(new Set());
    else if (token === "[") levels.push(null);
    else if (token === "}" || token === "]") levels.pop();
    else if (token[0] === '"') {
      const string = JSON.parse(token);
      if (!string.isWellFormed()) faults.add("lone_surrogate");
      const names = levels.at(-1);
      if (names && (previous === "{" || previous === ",")) {
        if (names.has(string)) faults.add("duplicate_key");
        names.add(string);
      }
    } else if (!Number.isFinite(Number(token)) && /^-?\d/.test(token)) faults.add("invalid_number");
    previous = token;
  }
}

function subject(message) {
  const lines = message.split(/\r\n|\r|\n/).map((line) => line.replace(/[\x00-\x1f\x7f-\x9f]/g, " ").replace(/^ +| +$/g, ""));
  const first = lines.find((line) => line) ?? "(no subject)";
  return [...first].slice(0, 200).join("").replace(/ +$/, "");
}
