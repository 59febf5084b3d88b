// Validates messages with ajv: each line of standard input is a question, each line of standard output an answer.
//
// Question: {"schema": TEXT, "instances": [TEXT, ...]}, all of them JSON texts. Answer: {"results": [{"valid": true,
// "errors": [{"pointer": TEXT, "keyword": TEXT}, ...]}, ...]}, or {"error": TEXT} if the schema does not compile.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import Ajv from "ajv/dist/2020.js";

function compile(schema) {
  // `strict` refuses ambiguous schemas; formats are not checked, because they decide nothing.
  return new Ajv({ strict: true, allErrors: true, validateFormats: false }).compile(JSON.parse(schema));
}

function judge(validate, instance) {
  const valid = validate(JSON.parse(instance));
  const errors = validate.errors ?? [];
  return { valid, errors: errors.map(({ instancePath, keyword }) => ({ pointer: instancePath, keyword })) };
}

function answer({ schema, instances }) {
  try {
    const validate = compile(schema);
    return { results: instances.map((instance) => judge(validate, instance)) };
  } catch (error) {
    return { error: error.message };
  }
}

const { version } = JSON.parse(readFileSync(createRequire(import.meta.url).resolve("ajv/package.json")));
console.log(JSON.stringify({ engine: "ajv", version }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(answer(JSON.parse(line))));
}
