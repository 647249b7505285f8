import { type ConfigPath, formatPath, valueAt } from '../config/path.js';
import { formatSource } from '../config/source.js';
import { type ConfigNode, fromValue, mapValues, type ValueNode } from '../config/tree.js';
import { didYouMean } from '../kernel/nearest.js';
import { pipelineErrors } from './errors.js';

/** The `with` of a step, and how errors call it. */
export interface WithPlace {
  readonly node: ConfigNode;
  /** `pipeline[1] (sft).with` */
  readonly label: string;
  readonly cwd: string;
  /** Whether the node's sources say where a user wrote it. */
  readonly located: boolean;
}

/** What is known of an earlier step before it runs. */
export interface EarlierStep {
  readonly name: string;
  /** Keys of its outputs, when its runner tells them. */
  readonly outputs?: readonly string[];
}

interface Reference {
  readonly text: string;
  readonly step: string;
  readonly key: readonly string[];
}

/** Checks every reference as far as it can be before anything runs; returns the paths of values that have one. */
export function checkReferences(
  place: WithPlace,
  earlier: readonly EarlierStep[],
  all: readonly string[],
): Set<string> {
  const paths = new Set<string>();
  mapValues(place.node, (node, path) => {
    for (const part of mayRefer(node) ? split(node.value, node, path, place) : []) {
      if (typeof part === 'string') continue;
      paths.add(formatPath(path));
      const fail = (reason: string) => failure(node, path, place, part.text, reason);
      const names = earlier.map(({ name }) => name);
      const step = earlier.find(({ name }) => name === part.step);
      if (!step && all.includes(part.step)) throw fail(`step "${part.step}" does not run before this one`);
      if (!step) throw fail(`there is no step "${part.step}".${didYouMean(part.step, names)}`);
      const key = part.key[0]!;
      if (step.outputs && !step.outputs.includes(key)) throw fail(noOutput(part.step, key, step.outputs));
    }
    return node;
  });
  return paths;
}

/** The tree with every reference replaced by the output that it names; a value that is one reference keeps its type. */
export function resolveReferences(
  place: WithPlace,
  outputs: ReadonlyMap<string, Readonly<Record<string, unknown>>>,
): ConfigNode {
  return mapValues(place.node, (node, path) => {
    if (!mayRefer(node)) return node;
    const parts = split(node.value, node, path, place);
    const values = parts.map((part) => {
      if (typeof part === 'string') return part;
      const found = outputs.get(part.step) ?? {};
      const value = valueAt(found, part.key);
      if (value !== undefined) return value;
      throw failure(node, path, place, part.text, noOutput(part.step, part.key.join('.'), Object.keys(found)));
    });
    const value = values.length === 1 ? values[0] : values.map((each) => asText(each)).join('');
    return { ...fromValue(value, node.source), keySource: node.keySource } as ConfigNode;
  });
}

const asText = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));

function noOutput(step: string, key: string, known: readonly string[]): string {
  return `step "${step}" has no output "${key}".${didYouMean(key, known)} It has: ${known.join(', ') || 'none'}`;
}

function mayRefer(node: ValueNode): node is ValueNode & { value: string } {
  return typeof node.value === 'string' && node.value.includes('${');
}

/** Text and references of a value, in order; `$${` becomes `${`. */
function split(value: string, node: ValueNode, path: ConfigPath, place: WithPlace): (string | Reference)[] {
  const parts: (string | Reference)[] = [];
  let text = '';
  let rest = value;
  const flush = () => {
    if (text !== '') parts.push(text);
    text = '';
  };
  while (rest !== '') {
    if (rest.startsWith('$${')) {
      text += '${';
      rest = rest.slice(3);
    } else if (rest.startsWith('${')) {
      const [whole] = /^\$\{[^}]*\}?/.exec(rest)!;
      const [, step, key] = /^\$\{steps\.([A-Za-z][\w-]*)\.([\w-]+(?:\.[\w-]+)*)\}$/.exec(whole) ?? [];
      if (!step) throw failure(node, path, place, whole, 'a reference is ${steps.<name>.<output>}');
      flush();
      parts.push({ text: whole, step, key: key!.split('.') });
      rest = rest.slice(whole.length);
    } else {
      text += rest[0];
      rest = rest.slice(1);
    }
  }
  flush();
  return parts;
}

function failure(node: ValueNode, path: ConfigPath, place: WithPlace, reference: string, reason: string): Error {
  const where = place.located ? formatSource(node.source, place.cwd) : undefined;
  return pipelineErrors.LF_PIPELINE_REFERENCE({ where, path: `${place.label}.${formatPath(path)}`, reference, reason });
}
