import {
  type CausalLanguageModel,
  commands,
  type ModelSource,
  ops,
  Parameter,
  Tensor,
  unscoped,
} from '@largeforge/engine';
import { distillErrors } from '../errors.js';
import { tokensOf } from './vocabulary.js';

/** The logit of a token that the teacher does not have. */
const impossible = Number.NEGATIVE_INFINITY;

/** What a teacher's tokens are called by its student, which numbers them otherwise. */
export interface VocabularyMap {
  /** The teacher's id of each of the student's tokens; -1 for those that it does not have. */
  readonly teacherIds: Int32Array;
  /** Tokens of the student that the teacher has. */
  readonly shared: number;
}

/**
 * Matches tokens by their texts.
 * @throws LF_DISTILL_VOCABULARY when hardly any is the same: such vocabularies cut texts otherwise, and what the teacher
 *   says of a token says nothing of the student's
 */
export function alignVocabularies(student: ModelSource, teacher: ModelSource): VocabularyMap {
  const [own, other] = [tokensOf(student), tokensOf(teacher)];
  const refuse = (reason: string) =>
    distillErrors.LF_DISTILL_VOCABULARY({ student: student.path, teacher: teacher.path, reason });
  if (!own || !other) throw refuse('one of them has no tokenizer, so that its tokens have no texts');
  const size = Math.max(0, ...own.values()) + 1;
  const teacherIds = new Int32Array(size).fill(-1);
  let shared = 0;
  for (const [token, id] of own) {
    const found = other.get(token);
    if (found === undefined) continue;
    teacherIds[id] = found;
    shared++;
  }
  if (shared < own.size / 2) throw refuse(`the teacher has only ${shared} of the student's ${own.size} tokens`);
  return { teacherIds, shared };
}

/** A teacher that reads and speaks the numbers of its student's vocabulary. */
export class Alignment implements Disposable {
  /** The teacher's head, its rows in the student's order. */
  private readonly head: Parameter;
  /** 0, and -infinity for what the teacher does not have. */
  private readonly bias: Parameter;

  constructor(
    private readonly teacher: CausalLanguageModel,
    private readonly map: VocabularyMap,
    private readonly names: { readonly student: string; readonly teacher: string },
  ) {
    const { device, config } = teacher;
    const { modules, tieWordEmbeddings } = config;
    const name = `${tieWordEmbeddings ? modules.embedding : modules.head}.weight`;
    const head = teacher.parameters().get(name) as Parameter;
    const rows = Tensor.from(
      device,
      map.teacherIds.map((id) => Math.max(id, 0)),
    );
    const bias = Float32Array.from(map.teacherIds, (id) => (id < 0 ? impossible : 0));
    [this.head, this.bias] = unscoped(() => {
      const gathered = ops.gatherRows(head.value(), rows);
      const values = Tensor.empty(device, gathered.shape, 'f32', 'persistent');
      commands.copy(device.recorder, gathered, values);
      gathered.dispose();
      const kept = Tensor.empty(device, [bias.length], 'f32', 'persistent');
      const read = Tensor.from(device, bias);
      commands.copy(device.recorder, read, kept);
      read.dispose();
      return [
        Parameter.of(values, 'aligned_head', { dtype: teacher.dtype }),
        Parameter.of(kept, 'aligned_bias'),
      ] as const;
    });
    rows.dispose();
  }

  get vocabSize(): number {
    return this.map.teacherIds.length;
  }

  /** @throws LF_DISTILL_VOCABULARY for a token that the teacher does not have */
  tokensOf(tokens: Int32Array): Int32Array {
    return tokens.map((token) => {
      const id = this.map.teacherIds[token] ?? -1;
      if (id >= 0) return id;
      const reason = `the rows have the student's token ${token}, which the teacher does not have`;
      throw distillErrors.LF_DISTILL_VOCABULARY({ ...this.names, reason });
    });
  }

  /** Logits f32 [R, vocabSize] of hidden rows of the teacher, in the student's order. */
  logits(hidden: Tensor): Tensor {
    const logits = ops.linear(hidden, this.head, { dtype: 'f32', bias: this.bias });
    return ops.softcap(logits, this.teacher.config.logitSoftcap);
  }

  /** Takes the tokens that the teacher does not have out of logits f32 [R, vocabSize] of the student, in place. */
  restrict(student: Tensor): void {
    using everyRow = this.bias.value().view(student.shape, [0, 1]);
    commands.binary(student.device.recorder, 'add', student, everyRow, student);
  }

  [Symbol.dispose](): void {
    this.head.dispose();
    this.bias.dispose();
  }
}
