// Parses AsyncAPI documents with the public parser and says what is wrong with them. Errors and warnings count; that there is a newer version of the specification does not.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const WARNING = 1;
const parser = new Parser();
let isWrong = false;
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(readFileSync(file, 'utf8'), { source: file });
  const found = diagnostics.filter((diagnostic) => diagnostic.severity <= WARNING);
  for (const { code, message, path } of found) console.error(`${file}: ${path.join('.')}: ${message} (${code})`);
  isWrong ||= found.length > 0 || document === undefined;
  if (document) console.log(`${file}: ${document.allChannels().length} channels, ${document.allOperations().length} operations, ${document.allMessages().length} messages`);
}
process.exit(isWrong ? 1 : 0);
