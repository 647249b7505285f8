/**
 * Makes the base model of the quickstart from nothing but this folder: corpus, tokenizer, random weights, one pass of
 * training on LargeForgeAI's own engine. Takes ten minutes on two idle cores.
 *
 *   node examples/quickstart/recipe/make-base.mjs [folder, default examples/quickstart/base]
 */
import { fileURLToPath } from 'node:url';
import {
  asCausal,
  createModel,
  memoryRows,
  nextTokenObjective,
  openDevice,
  ops,
  Tokenizer,
  train,
  trainingOptions,
  writeJson,
  writeTokenizerFiles,
  writeWeights,
} from '@largeforge/engine';
import {
  BASE_DOCUMENTS,
  BASE_SEED,
  baseConfig,
  baseTraining,
  chatTemplate,
  TOKENIZER_DOCUMENTS,
  VOCABULARY,
} from './base-settings.mjs';
import { makeDocument } from './corpus.mjs';
import { Random } from './random.mjs';
import { trainTokenizer } from './train-tokenizer.mjs';

const folder = process.argv[2] ?? fileURLToPath(new URL('../base', import.meta.url));
const library = fileURLToPath(new URL('../../../plugins/backend-cpu/build/liblargeforge_cpu.so', import.meta.url));

const random = new Random(BASE_SEED);
const documents = Array.from({ length: BASE_DOCUMENTS }, () => makeDocument(random));
const source = {
  tokenizer: trainTokenizer(documents.slice(0, TOKENIZER_DOCUMENTS), VOCABULARY),
  config: {
    tokenizer_class: 'PreTrainedTokenizerFast',
    eos_token: '<|im_end|>',
    pad_token: '<|endoftext|>',
    model_max_length: 1024,
    clean_up_tokenization_spaces: false,
  },
  chatTemplate,
};
const tokenizer = Tokenizer.from(source);
const endOfText = tokenizer.tokenToId('<|endoftext|>');
const rows = (await tokenizer.encodeBatch(documents)).map((ids) => {
  const tokens = Int32Array.from([endOfText, ...ids.subarray(0, baseTraining.packing - 2), endOfText]);
  return { tokens, mask: new Uint8Array(tokens.length).fill(1) };
});
console.log(`${rows.length} documents, ${rows.reduce((sum, row) => sum + row.tokens.length, 0)} tokens`);

const device = openDevice({ library });
const model = asCausal(createModel(device, baseConfig, { dtype: 'bf16', seed: BASE_SEED }));
model.setTrainable(true);
await train({
  model,
  objective: nextTokenObjective(model),
  rows: memoryRows(rows, (row) => row.tokens.length, `base-${BASE_SEED}-${BASE_DOCUMENTS}`),
  options: trainingOptions.parse(baseTraining),
  onEvent: (event) => {
    if (event.type === 'step' && event.step % 50 === 0) {
      console.log(
        `step ${event.step}/${event.totalSteps}  loss ${event.loss.toFixed(3)}  ${Math.round(event.tokensPerSecond)} tokens/s  ${Math.round(event.etaSeconds)} s left`,
      );
    }
  },
});

const tensors = [...model.parameters()].map(([name, parameter]) => ({
  name,
  dtype: 'bf16',
  shape: parameter.shape,
  bytes: async () => {
    const rounded = ops.cast(parameter.master, 'bf16');
    try {
      return await device.read(rounded, rounded.bytes);
    } finally {
      rounded.dispose();
    }
  },
}));
await writeWeights(folder, tensors);
writeJson(`${folder}/config.json`, baseConfig);
writeJson(`${folder}/generation_config.json`, { eos_token_id: [2, 0], pad_token_id: 0 });
writeTokenizerFiles(folder, source);
device[Symbol.dispose]();
