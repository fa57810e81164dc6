// Holds documents against the public models of their kinds: the models' own checks, and TypeScript, which knows a member that no model has.
// Reads a JSON array of documents from the file that is named; exits with 1 if one does not fit.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const MODELS = {
  "keda.sh/v1alpha1/ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
  "monitoring.coreos.com/v1/PrometheusRule": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
  "monitoring.coreos.com/v1/ServiceMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
};

const documents = JSON.parse(readFileSync(process.argv[2], "utf8"));
const here = dirname(fileURLToPath(import.meta.url));
let failures = 0;
const fail = (document, why) => {
  failures += 1;
  console.error(`${document.kind} ${document.metadata?.name}: ${why}`);
};

for (const document of documents) {
  const path = MODELS[`${document.apiVersion}/${document.kind}`];
  if (path === undefined) {
    fail(document, "there is no public model of this kind here");
    continue;
  }
  const model = (await import(path))[document.kind];
  try {
    new model(document).validate();
  } catch (error) {
    fail(document, error.message);
  }
  const source = `import type { I${document.kind} } from "${path}";\nexport const document: I${document.kind} = ${JSON.stringify(document, null, 1)};\n`;
  for (const problem of problems(source)) {
    fail(document, problem);
  }
}
console.log(`${documents.length} documents, ${failures} problems`);
process.exit(failures === 0 ? 0 : 1);

function problems(source) {
  const name = join(here, "document.ts");
  const options = { noEmit: true, strict: true, skipLibCheck: true, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, types: [] };
  const host = ts.createCompilerHost(options);
  const [readFile, fileExists, getSourceFile] = [host.readFile, host.fileExists, host.getSourceFile];
  host.readFile = (file) => (file === name ? source : readFile(file));
  host.fileExists = (file) => file === name || fileExists(file);
  host.getSourceFile = (file, language, ...rest) => (file === name ? ts.createSourceFile(file, source, language) : getSourceFile(file, language, ...rest));
  const program = ts.createProgram([name], options, host);
  return ts.getPreEmitDiagnostics(program).map((found) => ts.flattenDiagnosticMessageText(found.messageText, "\n"));
}
