import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { StepContext } from '@largeforge/core';
import {
  type CausalLanguageModel,
  commands,
  ignoredLabel,
  type ModelSource,
  type RowSource,
  scope,
  Tensor,
  type TokenBatch,
  type TokenRow,
  targetsOf,
  tokenBatch,
  writeFolder,
} from '@largeforge/engine';
import type { Teacher } from './teacher.js';
import { type TopK, TopKReader, TopKWriter } from './top-k-file.js';

/** A row with the teacher's likeliest tokens at each of its targets. */
export interface TaughtRow extends TokenRow {
  readonly taught: TopK;
}

export interface TaughtBatch extends TokenBatch {
  /** Of all targets of the batch, one row after the other. */
  readonly taught: readonly TopK[];
  readonly k: number;
}

/** What decides a table. */
export interface TableSettings {
  /** Tells the teacher from any other: its files, the precision of its arithmetic, its address ... */
  readonly identity: readonly string[];
  readonly topK: number;
  /** Tokens that the teacher sees at once, about. */
  readonly batchTokens: number;
}

/** A teacher that is asked for its likeliest tokens at the targets of rows. */
export interface AskedTeacher {
  ask(rows: readonly TokenRow[]): Promise<TopK[]>;
  close(): void;
}

/**
 * The likeliest tokens of a teacher at every target of some rows, asked for once and kept on disk, beside the tokenised
 * rows: 8 bytes for each of them.
 */
export class TopKTable {
  private reader: TopKReader | undefined;
  private readonly path: string;

  constructor(
    private readonly source: RowSource<TokenRow>,
    private readonly context: StepContext<'train'>,
    private readonly settings: TableSettings,
  ) {
    const identity = [settings.topK, ...settings.identity, source.fingerprint].join('\n');
    const hash = createHash('sha256').update(identity).digest('hex').slice(0, 32);
    this.path = join(dirname(context.outputDir), '.tokenised', `teacher-${hash}`);
  }

  /** The rows with what the teacher said; to be read after `fill`. */
  get rows(): RowSource<TaughtRow> {
    const { source } = this;
    return {
      fingerprint: `${source.fingerprint}-top${this.settings.topK}`,
      lengths: source.lengths,
      read: async (indices) => {
        const rows = await source.read(indices);
        return rows.map((row, i) => ({ ...row, taught: (this.reader as TopKReader).row(indices[i] as number) }));
      },
    };
  }

  /**
   * Takes the table from the cache, or asks the teacher.
   * @param open makes the teacher ready; not called when the table is there
   * @throws the reason of the context's signal; nothing is kept then
   */
  async fill(open: () => AskedTeacher | Promise<AskedTeacher>): Promise<void> {
    const { source, settings, context } = this;
    const rows = source.lengths.length;
    this.reader = TopKReader.open(this.path, rows, settings.topK);
    if (this.reader) return;
    const teacher = await open();
    const { events, name: task, signal } = context;
    try {
      await writeFolder(this.path, async (folder) => {
        const writer = new TopKWriter(folder, settings.topK);
        for (let from = 0; from < rows; ) {
          signal.throwIfAborted();
          let to = from;
          let tokens = 0;
          do tokens += source.lengths[to++] as number;
          while (to < rows && tokens + (source.lengths[to] as number) <= settings.batchTokens);
          const read = await source.read(Array.from({ length: to - from }, (_, i) => from + i));
          for (const taught of await teacher.ask(read)) writer.append(taught);
          from = to;
          events.emit({ type: 'progress', task, current: from, unit: 'rows shown to the teacher' });
        }
        writer.finish();
      });
    } finally {
      teacher.close();
    }
    this.reader = TopKReader.open(this.path, rows, settings.topK);
    if (!this.reader) throw new Error(`the teacher's logits in '${this.path}' cannot be read back`);
  }

  close(): void {
    this.reader?.close();
  }

  static collate(rows: readonly TaughtRow[]): TaughtBatch {
    const taught = rows.map((row) => row.taught);
    const batch = tokenBatch(rows);
    const kept = taught.reduce((sum, { tokens }) => sum + tokens.length, 0);
    return { ...batch, taught, k: kept / Math.max(batch.targets, 1) };
  }

  /** A teacher that has only its likeliest tokens; all others are impossible to it. */
  static teacher({ device, config }: CausalLanguageModel): Teacher<TaughtBatch> {
    const { vocabSize } = config;
    return {
      vocabSize,
      answer({ taught, k }) {
        const tokens = joined(
          taught.map((row) => row.tokens),
          Int32Array,
        );
        const logits = joined(
          taught.map((row) => row.logProbabilities),
          Float32Array,
        );
        return {
          states: [],
          logits({ from, count }) {
            const dense = new Float32Array(count * vocabSize).fill(Number.NEGATIVE_INFINITY);
            for (let i = 0; i < count * k; i++) {
              const at = from * k + i;
              dense[Math.floor(i / k) * vocabSize + (tokens[at] as number)] = logits[at] as number;
            }
            return Tensor.from(device, dense, [count, vocabSize]);
          },
        };
      },
    };
  }
}

/** A model of this process as one that is asked beforehand. */
export function askModel(
  model: CausalLanguageModel,
  teacher: Teacher<TokenBatch>,
  k: number,
  close = () => model.dispose(),
): AskedTeacher {
  return { ask: (rows) => ask(model, teacher, rows, k), close };
}

/** The likeliest tokens at the targets of each row. */
async function ask(
  { device }: CausalLanguageModel,
  teacher: Teacher<TokenBatch>,
  rows: readonly TokenRow[],
  k: number,
): Promise<TopK[]> {
  const batch = tokenBatch(rows);
  const positions = Int32Array.from([...batch.labels.keys()].filter((t) => batch.labels[t] !== ignoredLabel));
  const chunk = Math.max(1, Math.floor((48 * 2 ** 20) / (4 * teacher.vocabSize)));
  const found = scope(() => {
    const answers = teacher.answer(batch, Tensor.from(device, positions));
    const tokens = Tensor.empty(device, [positions.length, k], 'i32');
    const logProbabilities = Tensor.empty(device, [positions.length, k], 'f32');
    for (let from = 0; from < positions.length; from += chunk) {
      const count = Math.min(chunk, positions.length - from);
      scope(() =>
        commands.sample(
          device.recorder,
          { topN: k },
          {
            logits: answers.logits({ from, count }),
            rows: Tensor.from(device, greedyRows(count), [count, 16]),
            tokens: Tensor.empty(device, [count], 'i32'),
            logprob: Tensor.empty(device, [count], 'f32'),
            topTokens: tokens.narrow(0, from, count),
            topLogprobs: logProbabilities.narrow(0, from, count),
          },
        ),
      );
    }
    return { tokens, logProbabilities };
  });
  const [tokens, logProbabilities] = await Promise.all([found.tokens.ints(), found.logProbabilities.floats()]);
  found.tokens.dispose();
  found.logProbabilities.dispose();
  let from = 0;
  return rows.map((row) => {
    const to = from + k * targetsOf(row);
    const part = { tokens: tokens.slice(from, to), logProbabilities: logProbabilities.slice(from, to) };
    from = to;
    return part;
  });
}

/** Rows of SAMPLE that change nothing: temperature 0, top-p and repetition 1. */
function greedyRows(count: number): Float32Array {
  const row = [0, 0, 1, 0, 1, ...new Array<number>(11).fill(0)];
  return Float32Array.from({ length: 16 * count }, (_, i) => row[i % 16] as number);
}

/** The files of a model, as they are now. */
export function filesOf({ tensors }: ModelSource): string[] {
  const files = [...new Set([...tensors.values()].map(({ file }) => file))].sort();
  return files.map((file) => {
    const { size, mtimeMs } = statSync(file);
    return `${file} ${size} ${mtimeMs}`;
  });
}

function joined<Values extends Int32Array | Float32Array>(
  parts: readonly Values[],
  type: new (length: number) => Values,
): Values {
  const all = new type(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
