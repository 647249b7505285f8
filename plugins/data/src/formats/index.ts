import { format as alpaca } from './alpaca.js';
import type { DatasetFormat } from './format.js';
import { format as messages } from './messages.js';
import { format as promptCompletion } from './prompt-completion.js';
import { format as sharegpt } from './sharegpt.js';
import { format as text } from './text.js';

/** The formats of this plugin, in the order in which detection prefers them. */
export const builtInFormats: readonly DatasetFormat[] = [messages, sharegpt, alpaca, promptCompletion, text].map(
  (format) => format as DatasetFormat,
);
