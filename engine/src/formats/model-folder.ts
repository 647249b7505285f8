import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { formatErrors } from './errors.js';
import { readGgufModel } from './gguf-model/read.js';
import { hubCacheFolder, snapshotInHubCache } from './hub-cache.js';
import { isFile, parseJson, readJson, readJsonIfThere, readTextFile } from './json-file.js';
import { type ModelSource, type TensorEntry, type TokenizerSource, tokenizerOfText } from './model-source.js';
import { quantizedTensors } from './quantized/checkpoint.js';
import { readSafetensors } from './safetensors.js';

/**
 * Finds and reads the description of a model: a Hugging Face folder, a .gguf file, or the name of a model in the local
 * Hugging Face cache. Only headers are read. `baseDir` is where relative paths start.
 */
export function readModelSource(nameOrPath: string, { baseDir = process.cwd() } = {}): ModelSource {
  const path = locateModel(nameOrPath, { baseDir });
  return path.endsWith('.gguf') ? readGgufModel(path) : readModelFolder(path);
}

/** The folder or file that a model's name or path means. Throws LF_ENGINE_MODEL_NOT_FOUND. */
export function locateModel(nameOrPath: string, { baseDir = process.cwd() } = {}): string {
  const path = resolve(baseDir, nameOrPath);
  if (existsSync(path)) return path;
  const snapshot = snapshotInHubCache(nameOrPath);
  if (snapshot !== undefined) return snapshot;
  throw formatErrors.MODEL_NOT_FOUND({ name: nameOrPath, cache: hubCacheFolder() });
}

function readModelFolder(path: string): ModelSource {
  const fail = (reason: string) => formatErrors.MODEL_FOLDER({ path, reason });
  if (!statSync(path).isDirectory()) throw fail('it is a file, and not a .gguf one');
  if (existsSync(join(path, 'adapter_config.json')) && !existsSync(join(path, 'config.json'))) {
    throw fail('it holds an adapter: load its base model and the adapter onto it');
  }
  if (!existsSync(join(path, 'config.json'))) throw fail('it has no config.json');
  const config = readJson(join(path, 'config.json'));
  return {
    kind: 'folder',
    path,
    config,
    tensors: quantizedTensors(path, config, readWeights(path, fail)),
    generationConfig: readJsonIfThere(join(path, 'generation_config.json')),
    tokenizer: readTokenizerFiles(path),
  };
}

/** All tensors of model.safetensors, or of the shards that its index names. */
function readWeights(path: string, fail: (reason: string) => Error): Map<string, TensorEntry> {
  const indexPath = join(path, 'model.safetensors.index.json');
  if (!existsSync(indexPath)) {
    const single = join(path, 'model.safetensors');
    if (existsSync(single)) return new Map(readSafetensors(single).tensors);
    const other = existsSync(join(path, 'pytorch_model.bin'))
      ? ' (pytorch_model.bin is not read: it can hold code)'
      : '';
    throw fail(`it has neither model.safetensors nor model.safetensors.index.json${other}`);
  }
  const { weight_map: map } = readJson(indexPath) as { weight_map?: Record<string, string> };
  if (typeof map !== 'object' || map === null)
    throw formatErrors.FILE_CORRUPT({ path: indexPath, reason: 'it has no weight_map' });
  const tensors = new Map<string, TensorEntry>();
  const shards = new Map<string, ReadonlyMap<string, TensorEntry>>();
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== 'string' || shard.includes('/') || shard.includes('\\')) {
      throw formatErrors.FILE_CORRUPT({
        path: indexPath,
        reason: `tensor "${name}" is said to lie in ${JSON.stringify(shard)}`,
      });
    }
    if (!shards.has(shard)) shards.set(shard, readSafetensors(join(path, shard)).tensors);
    const entry = shards.get(shard)!.get(name);
    if (!entry) throw formatErrors.FILE_CORRUPT({ path: indexPath, reason: `tensor "${name}" is not in ${shard}` });
    tensors.set(name, entry);
  }
  return tensors;
}

/** tokenizer.json, tokenizer_config.json and the chat template of a folder; undefined when it has no tokenizer.json. */
export function readTokenizerFiles(path: string): TokenizerSource | undefined {
  const file = join(path, 'tokenizer.json');
  if (!isFile(file)) return undefined;
  const json = readTextFile(file);
  const tokenizer = parseJson(json, file);
  const config = readJsonIfThere(join(path, 'tokenizer_config.json')) ?? {};
  const special = readJsonIfThere(join(path, 'special_tokens_map.json')) ?? {};
  const templateFile = join(path, 'chat_template.jinja');
  const chatTemplate = existsSync(templateFile) ? readTextFile(templateFile) : defaultTemplate(config.chat_template);
  return tokenizerOfText(json, tokenizer, { config: { ...special, ...config }, chatTemplate });
}

/**
 * The description of a base model with the tokenizer of an adapter's folder in place of its own, when there is one: a
 * training saves the tokenizer, and so the chat template, that its rows were made with.
 */
export function withTokenizerOf(adapter: string, source: ModelSource): ModelSource {
  const tokenizer = readTokenizerFiles(adapter);
  return tokenizer ? { ...source, tokenizer } : source;
}

const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja'];

/** Whether an adapter has the tokenizer of a model: none of its own, or files that are the same byte by byte. */
export function sameTokenizerFiles(adapter: string, model: string): boolean {
  if (!existsSync(join(adapter, 'tokenizer.json'))) return true;
  const folder = locateModel(model);
  return TOKENIZER_FILES.every((name) => {
    const [own, other] = [join(adapter, name), join(folder, name)];
    if (!existsSync(own) || !existsSync(other)) return existsSync(own) === existsSync(other);
    return statSync(own).size === statSync(other).size && readFileSync(own).equals(readFileSync(other));
  });
}

/** A config may hold one template, or several by name. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  return (value as { name: string; template: string }[]).find(({ name }) => name === 'default')?.template;
}
