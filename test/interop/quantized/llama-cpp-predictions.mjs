/** llama.cpp's probabilities of every token after each of some tokens, as JSON: PACKAGE MODEL TOKENS OUTPUT */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, modelPath, tokensFile, output] = process.argv.slice(2);
const { main } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(join(folder, main)).href);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 256 });
const tokens = JSON.parse(readFileSync(tokensFile, 'utf8'));
const asked = tokens.map((token) => [token, { generateNext: { probabilities: true } }]);
const answers = await context.getSequence().controlledEvaluate(asked);
const rows = answers.map(({ next: { probabilities } }) => {
  const row = new Array(probabilities.size).fill(0);
  for (const [token, probability] of probabilities) row[token] = probability;
  return row;
});
writeFileSync(output, JSON.stringify(rows));
await llama.dispose();
