import { styleText } from 'node:util';

export type Color = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold';

/** Colours a text, or leaves it as it is. */
export type Paint = (color: Color, text: string) => string;

/** Whether to colour what goes to a stream; NO_COLOR and FORCE_COLOR are honoured (no-color.org). */
export function wantsColor(stream: { isTTY?: boolean }, environment: NodeJS.ProcessEnv, flag: boolean): boolean {
  if (!flag || environment.NO_COLOR) return false;
  if (environment.FORCE_COLOR && environment.FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && environment.TERM !== 'dumb';
}

export function painter(colored: boolean): Paint {
  return colored ? (color, text) => styleText(color, text) : (_, text) => text;
}
