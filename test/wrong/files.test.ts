import { chmodSync, cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { itSaysWhatIsWrong, type Wrong } from './attempt.js';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const quickstart = join(repository, 'examples/quickstart/base');

/** A training of the model `./base` on `./rows.jsonl`, in two steps of one row. */
const sft = (options = '') =>
  `plugins: ['@largeforge/backend-cpu', '@largeforge/data', '@largeforge/trainer-sft']
pipeline:
  - name: tune
    stage: train
    use: sft
    with: {model: ./base, dataset: ./rows.jsonl, outputDir: ./out, maxSteps: 2, batchSize: 1${options}}
`;
const row = '{"prompt": "say a", "completion": "a"}\n';
const rows = { 'rows.jsonl': row.repeat(4) };
const step = 'largeforge.config.yaml:3:5: pipeline[0] (sft): ';

const copyBase = (folder: string) => cpSync(quickstart, join(folder, 'base'), { recursive: true });
const copyAdapter = (folder: string) =>
  cpSync(join(repository, 'engine/fixtures/models/adapter-llama'), join(folder, 'adapter'), { recursive: true });

/** Changes a JSON file of the folder. */
const change = (folder: string, file: string, values: Record<string, unknown>) => {
  const path = join(folder, file);
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...values }));
};

/** What is wrong with a model, found before the first step; a dry run finds it as well. */
const models: readonly Wrong[] = [
  {
    what: 'a model folder that is not there',
    config: sft(),
    files: rows,
    code: 'LF_ENGINE_MODEL_NOT_FOUND',
    where: 'base" is no file or folder here',
    exit: 2,
  },
  {
    what: 'a model folder without a config.json',
    config: sft(),
    files: { ...rows, 'base/tokenizer.json': '{}' },
    code: 'LF_ENGINE_MODEL_FOLDER',
    where: 'it has no config.json',
    exit: 2,
  },
  {
    what: 'an unknown model_type',
    config: sft(),
    files: rows,
    prepare: (folder) => {
      copyBase(folder);
      change(folder, 'base/config.json', { model_type: 'lama' });
    },
    code: 'LF_ENGINE_UNKNOWN_ARCHITECTURE',
    where: `${step}models of type "lama" are not known; known types: `,
    exit: 1,
  },
  {
    what: 'a config.json that lacks a size',
    config: sft(),
    files: rows,
    prepare: (folder) => {
      copyBase(folder);
      change(folder, 'base/config.json', { hidden_size: undefined });
    },
    code: 'LF_ENGINE_MODEL_CONFIG',
    where: 'hidden_size',
    exit: 1,
  },
  {
    what: 'a safetensors file that is cut off',
    config: sft(),
    files: rows,
    prepare: (folder) => {
      copyBase(folder);
      truncateSync(join(folder, 'base/model.safetensors'), 2_000_000);
    },
    code: 'LF_ENGINE_FILE_CORRUPT',
    where: 'base/model.safetensors is damaged: ',
    exit: 1,
  },
  {
    what: 'a .gguf file that is none',
    config: sft().replace('./base', './base.gguf'),
    files: { ...rows, 'base.gguf': 'GGML and then some bytes that mean nothing' },
    code: 'LF_ENGINE_FILE_UNSUPPORTED',
    where: 'it is no GGUF file: it begins with "GGML"',
    exit: 2,
  },
  {
    what: 'a model without tokenizer.json',
    config: sft(),
    files: rows,
    prepare: (folder) => {
      copyBase(folder);
      rmSync(join(folder, 'base/tokenizer.json'));
    },
    code: 'LF_ENGINE_TOKENIZER_MISSING',
    where: 'base has no tokenizer',
    exit: 1,
  },
  {
    what: 'a tokenizer.json that is no JSON',
    config: sft(),
    files: rows,
    prepare: (folder) => {
      copyBase(folder);
      writeFileSync(join(folder, 'base/tokenizer.json'), '{"version": ');
    },
    code: 'LF_ENGINE_FILE_CORRUPT',
    where: 'base/tokenizer.json is damaged: ',
    exit: 1,
  },
  {
    what: 'a tokenizer.json of no known kind',
    config: sft(),
    files: rows,
    prepare: (folder) => {
      copyBase(folder);
      change(folder, 'base/tokenizer.json', { model: { type: 'Nothing' } });
    },
    code: 'LF_ENGINE_TOKENIZER_INVALID',
    where: `${step}the tokenizer of `,
    exit: 1,
  },
  {
    what: 'an adapter whose base model is not there',
    config: "plugins: ['@largeforge/backend-cpu', '@largeforge/merge-lora']\n",
    prepare: (folder) => {
      copyAdapter(folder);
      change(folder, 'adapter/adapter_config.json', { base_model_name_or_path: 'nobody/nothing' });
    },
    line: 'merge --adapter adapter --output-dir merged',
    code: 'LF_ENGINE_ADAPTER_BASE',
    where: 'is for the base model "nobody/nothing"',
    exit: 2,
  },
  {
    what: 'an adapter that names no base model',
    config: "plugins: ['@largeforge/backend-cpu', '@largeforge/merge-lora']\n",
    prepare: (folder) => {
      copyAdapter(folder);
      change(folder, 'adapter/adapter_config.json', { base_model_name_or_path: null });
    },
    line: 'merge --adapter adapter --output-dir merged',
    code: 'LF_ENGINE_ADAPTER_BASE',
    where: 'does not say which base model it is for',
    exit: 2,
  },
  {
    what: 'an adapter of another model',
    config: sft(', adapter: ./adapter, precision: f32'),
    files: rows,
    prepare: (folder) => {
      copyBase(folder);
      copyAdapter(folder);
    },
    code: 'LF_ENGINE_ADAPTER_TENSORS',
    where:
      'does not fit the model: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is [4, 32], expected [4, 160]',
    exit: 1,
  },
  {
    what: 'a folder that is no adapter',
    config: sft(', adapter: ./rows.jsonl'),
    files: rows,
    prepare: copyBase,
    code: 'LF_ENGINE_FILE_MISSING',
    where: 'there is no adapter at ',
    exit: 2,
  },
];

itSaysWhatIsWrong(models);

const damaged = '{"prompt": "say a", "completion": \n';

itSaysWhatIsWrong([
  {
    what: 'a missing data file',
    config: sft(),
    prepare: copyBase,
    code: 'LF_DATA_FILE_MISSING',
    where: `${step}there is no data file '`,
    exit: 1,
  },
  {
    what: 'a dry run that lacks a data file',
    config: sft(),
    prepare: copyBase,
    line: 'run --dry-run',
    code: 'LF_DATA_FILE_MISSING',
    where: `${step}there is no data file '`,
    exit: 1,
  },
  {
    what: 'a dry run that lacks a model',
    config: sft(),
    files: rows,
    line: 'run --dry-run',
    code: 'LF_ENGINE_MODEL_NOT_FOUND',
    where: 'base" is no file or folder here',
    exit: 2,
  },
  {
    what: 'a data folder without data',
    config: sft().replace('./rows.jsonl', './rows'),
    files: { 'rows/notes.md': 'x' },
    prepare: copyBase,
    code: 'LF_DATA_FOLDER_EMPTY',
    where: "rows' holds no data file",
    exit: 1,
  },
  {
    what: 'a data file of no rows',
    config: sft(),
    files: { 'rows.jsonl': '' },
    prepare: copyBase,
    code: 'LF_DATA_FILE_UNREADABLE',
    where: "rows.jsonl': it is empty",
    exit: 1,
  },
  {
    what: 'a row that is no JSON',
    config: sft(),
    files: { 'rows.jsonl': `${row}${damaged}${row}` },
    prepare: copyBase,
    code: 'LF_DATA_REJECTED_ROWS',
    where: 'rows.jsonl:2: ',
    exit: 1,
  },
  {
    what: 'a row with other fields than the rest',
    config: sft(),
    files: { 'rows.jsonl': `${row}{"promt": "say a", "completion": "a"}\n${row}` },
    prepare: copyBase,
    code: 'LF_DATA_REJECTED_ROWS',
    where: 'rows.jsonl:2: ',
    exit: 1,
  },
  {
    what: 'rows of no known format',
    config: sft(),
    files: { 'rows.jsonl': '{"question": "a", "reply": "b"}\n' },
    prepare: copyBase,
    code: 'LF_DATA_FORMAT_UNKNOWN',
    where: 'their fields are question, reply',
    exit: 1,
  },
  {
    what: 'one JSON object instead of rows',
    config: sft().replace('rows.jsonl', 'rows.json'),
    files: { 'rows.json': '{\n  "prompt": "a",\n  "completion": "b"\n}\n' },
    prepare: copyBase,
    code: 'LF_DATA_SINGLE_OBJECT',
    where: 'its keys are prompt, completion',
    exit: 1,
  },
  {
    what: 'an unknown data format',
    config: sft().replace('dataset: ./rows.jsonl', 'dataset: {paths: ./rows.jsonl, format: alpca}'),
    files: rows,
    prepare: copyBase,
    code: 'LF_DATA_NO_SUCH_FORMAT',
    where: "there is no data format 'alpca'",
    exit: 1,
  },
  {
    what: 'rows that are too long',
    config: sft(', maxLength: 4'),
    files: rows,
    prepare: copyBase,
    code: 'LF_DATA_OVERLONG',
    where: 'are longer than 4 tokens',
    exit: 1,
  },
  {
    what: 'an unknown loss',
    config: sft(', loss: {name: crossentropy}'),
    files: rows,
    line: 'run --dry-run',
    code: 'LF_REGISTRY_UNKNOWN',
    where: 'Did you mean "cross-entropy"?',
    exit: 2,
  },
  {
    what: 'an option that the loss lacks',
    config: sft(', loss: {with: {smoothing: 0.1}}'),
    files: rows,
    line: 'run --dry-run',
    code: 'LF_SFT_LOSS',
    where: `${step}loss.with (cross-entropy).smoothing: unknown key. Did you mean "labelSmoothing"?`,
    exit: 2,
  },
  {
    what: 'LoRA targets that the model lacks',
    config: sft(', lora: {targetModules: [query]}'),
    files: rows,
    prepare: copyBase,
    code: 'LF_ENGINE_LORA_TARGETS',
    where: 'the model has ',
    exit: 1,
  },
  {
    what: 'an output folder that is a file',
    config: sft(),
    files: { ...rows, out: 'x' },
    prepare: copyBase,
    code: 'LF_OUTPUT_UNWRITABLE',
    where: `${step}nothing can be written to `,
    exit: 2,
  },
  {
    what: 'a run folder that is a file',
    config: `runDir: ./rows.jsonl\n${sft()}`,
    files: rows,
    code: 'LF_OUTPUT_UNWRITABLE',
    where: 'rows.jsonl: it is a file',
    exit: 2,
  },
  {
    what: 'an LF_CPU_ISA that no processor has',
    config: sft(),
    files: rows,
    prepare: copyBase,
    line: 'run --dry-run',
    env: { LF_CPU_ISA: 'avx1024' },
    code: 'LF_REGISTRY_NONE',
    where: 'LF_CPU_ISA asks for "avx1024", which is no level that was built; this machine runs: portable',
    exit: 1,
  },
  {
    what: 'a named backend that LF_CPU_ISA makes useless',
    config: `backend: cpu\n${sft()}`,
    files: rows,
    env: { LF_CPU_ISA: 'avx1024' },
    code: 'LF_REGISTRY_UNAVAILABLE',
    where: 'largeforge.config.yaml:1:10: backend: backend "cpu" cannot be used here: LF_CPU_ISA asks for "avx1024"',
    exit: 1,
  },
]);

const evaluate = `plugins: ['@largeforge/backend-cpu', '@largeforge/evaluate']
pipeline:
  - {name: score, stage: evaluate, use: exact-match, with: {model: ./base, dataset: ./rows.jsonl}}
`;

itSaysWhatIsWrong([
  {
    what: 'rows to evaluate on that are not there',
    config: evaluate,
    prepare: copyBase,
    code: 'LF_EVALUATE_FILE',
    where: 'rows.jsonl cannot be read',
    exit: 2,
  },
  {
    what: 'a row to evaluate on that is no JSON',
    config: evaluate,
    files: { 'rows.jsonl': `{"messages": [{"role": "assistant", "content": "a"}]}\n${damaged}` },
    prepare: copyBase,
    code: 'LF_EVALUATE_ROW',
    where: 'rows.jsonl:2: ',
    exit: 1,
  },
  {
    what: 'a set of rows to evaluate on that is empty',
    config: evaluate,
    files: { 'rows.jsonl': '\n' },
    prepare: copyBase,
    code: 'LF_EVALUATE_EMPTY',
    where: 'rows.jsonl has no rows',
    exit: 1,
  },
  {
    what: 'an adapter to evaluate whose base model is not there',
    config: evaluate.replace('./base', './adapter'),
    prepare: copyAdapter,
    code: 'LF_ENGINE_ADAPTER_BASE',
    where: 'is for the base model "llama"',
    exit: 2,
  },
]);

// chmod does not bind a user who may everything.
if (process.getuid?.() !== 0) {
  itSaysWhatIsWrong([
    {
      what: 'a data file that may not be read',
      config: sft(),
      files: rows,
      prepare: (folder) => {
        copyBase(folder);
        chmodSync(join(folder, 'rows.jsonl'), 0);
      },
      code: 'LF_DATA_FILE_UNREADABLE',
      where: 'rows.jsonl',
      exit: 1,
    },
  ]);
}
