import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';

/** What a new config is made of. */
export interface InitAnswers {
  readonly model: string;
  readonly data: string;
  readonly method: 'lora' | 'full';
  readonly output: string;
}

/** A path as the config must say it: relative to the config's folder; absolute ones and ~/ stay as they are. */
export function pathInConfig(path: string, cwd: string, file: string): string {
  if (isAbsolute(path) || path.startsWith('~')) return path;
  const from = relative(dirname(resolve(cwd, file)), resolve(cwd, path))
    .split(sep)
    .join('/');
  return from.startsWith('.') ? from : `./${from}`;
}

/** A text as YAML that is read as this text whatever is in it; `$` of `${...}` is kept from being a reference. */
const quoted = (text: string) => `'${text.replaceAll("'", "''").replaceAll('${', () => '$${')}'`;

/** A config that fine-tunes a model and makes it ready to be served, with a comment at everything that is chosen. */
export function initConfig({ model, data, method, output }: InitAnswers): string {
  const lora = method === 'lora';
  const base = quoted(model);
  const folder = (name: string) => quoted(`${output.replace(/\/+$/, '')}/${name}`);
  return `# Fine-tunes a model on your data. Run it with: largeforge run
# Every value with its source: largeforge inspect config. All options, for editors: largeforge schema
plugins:
  - '@largeforge/backend-cpu' # computes on the processor
  - '@largeforge/data' # reads the data
  - '@largeforge/trainer-sft' # trains
  - '@largeforge/merge-lora' # merges adapters into their base model
  - '@largeforge/generate' # writes text with a model
  - '@largeforge/server-openai' # serves it: largeforge serve --model ${lora ? 'the merged model' : 'the trained model'}

# "auto" takes the best backend that works on this machine; largeforge doctor says which.
backend: auto

pipeline:
  # Steps run one after the other; those that are done and did not change are skipped.
  - name: tune
    stage: train
    use: sft
    with:
      # A folder in Hugging Face layout, a .gguf file, or a name in the local Hugging Face cache.
      model: ${base}
      # JSON or JSON Lines: messages, ShareGPT, Alpaca, prompt and completion, or text.
      dataset: ${quoted(data)}
      outputDir: ${folder(lora ? 'adapter' : 'model')}
${
  lora
    ? `      # A LoRA adapter: a few weights beside the model's own. A higher rank learns more and takes more memory.
      lora: {r: 16, alpha: 32}`
    : `      # Every weight is trained: most to learn with, and most memory.
      full: true`
}
      epochs: 3
      # Rows of a step. Out of memory? Halve it, and double gradientAccumulation.
      batchSize: 4
      gradientAccumulation: 4
      learningRate: ${lora ? '0.0002' : '0.00002'}
      # Tokens of a row at most.
      maxLength: 1024
${
  lora
    ? `
  # One model out of two, in Hugging Face layout.
  - name: merge
    stage: optimize
    use: merge-lora
    with:
      baseModel: ${base}
      adapter: \${steps.tune.adapter}
      outputDir: ${folder('model')}
`
    : ''
}`;
}
