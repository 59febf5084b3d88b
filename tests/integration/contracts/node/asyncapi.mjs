// Reads an AsyncAPI document with the official parser and prints the parser's findings as JSON.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], 'utf8'));
const said = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path: path.join('/') }));
const operations = document?.operations().all().map((operation) => ({
  id: operation.id(),
  action: operation.action(),
  exchange: operation.channels().all()[0].bindings().get('amqp')?.value().exchange.name,
  message: operation.messages().all()[0]?.name(),
  payload: operation.messages().all()[0]?.payload().json(),
}));
console.log(JSON.stringify({ diagnostics: said, operations }));
