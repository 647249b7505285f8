import { type CheckContext, pathOrName } from '@largeforge/core';
import { checkModelFiles } from '@largeforge/engine';
import { checkTrainer, type TrainerOptions } from '@largeforge/trainer';

/** What a preference training would fail on: what any training would, and a reference that is not there. */
export async function checkPreferenceTrainer(
  context: CheckContext,
  options: TrainerOptions & { readonly reference?: string | undefined },
): Promise<void> {
  const { reference } = options;
  if (reference !== undefined && !context.comesLater(reference)) {
    checkModelFiles(pathOrName(context.resolvePath, reference));
  }
  await checkTrainer(context, options);
}
