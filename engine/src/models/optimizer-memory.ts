/** The optimisers of a training, by the names of its options. */
export type OptimizerKind = 'adamw' | 'adamw_8bit' | 'lion' | 'adafactor' | 'muon';

/** Layers' matrices; embeddings, the head and experts, which Muon leaves to AdamW; vectors. */
export type TrainedKind = 'matrix' | 'table' | 'vector';

/** Bytes that an optimiser remembers of a parameter. */
export function rememberedBytes(optimizer: OptimizerKind, kind: TrainedKind, elements: number): number {
  switch (optimizer) {
    case 'adamw_8bit':
      // Small ones keep moments of 32 bits; the others have two tables of what their codes mean.
      if (kind === 'vector' || elements < 4096) return 8 * elements;
      return (2 + 8 / 256) * elements + 2 * 1024;
    case 'muon':
      return (kind === 'matrix' ? 4 : 8) * elements;
    case 'adafactor':
      // Rows and columns of matrices hardly count.
      return kind === 'vector' ? 4 * elements : 0;
    case 'lion':
      return 4 * elements;
    case 'adamw':
      return 8 * elements;
  }
}
