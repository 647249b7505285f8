import { move, Piscina, transferableSymbol, valueSymbol } from 'piscina';
import { loadSetting, type WorkerSetting } from './setting.js';
import { runTask, type TokeniseResult, type TokeniseTask } from './task.js';

const setting = loadSetting(Piscina.workerData as WorkerSetting);

/** Tokenises rows in a worker thread. The arrays of the result are handed over, not copied. */
export default async function tokenise(task: TokeniseTask): Promise<TokeniseResult> {
  const result = await runTask(task, await setting);
  const buffers = [result.offsets, result.tokens, result.mask, result.lines].map((array) => array.buffer);
  // Piscina unwraps what `move` marks: the other side sees the value itself.
  return move({ [transferableSymbol]: buffers, [valueSymbol]: result }) as unknown as TokeniseResult;
}
