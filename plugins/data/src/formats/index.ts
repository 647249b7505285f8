import { format as alpaca } from './alpaca.js';
import type { DatasetFormat } from './format.js';
import { format as messages } from './messages.js';
import { format as openaiPreference } from './openai-preference.js';
import { format as preference } from './preference.js';
import { format as promptCompletion } from './prompt-completion.js';
import { format as sharegpt } from './sharegpt.js';
import { format as sharegptPreference } from './sharegpt-preference.js';
import { format as text } from './text.js';
import { format as unpairedPreference } from './unpaired-preference.js';

/** The formats of this plugin, in the order in which detection prefers them. */
export const builtInFormats: readonly DatasetFormat[] = [
  preference,
  openaiPreference,
  sharegptPreference,
  unpairedPreference,
  messages,
  sharegpt,
  alpaca,
  promptCompletion,
  text,
].map((format) => format as DatasetFormat);
