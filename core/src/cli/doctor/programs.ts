import { execFile } from 'node:child_process';

/** What a program printed, or why there is nothing. */
export type ProgramOutput =
  | { readonly ok: true; readonly stdout: string }
  | { readonly ok: false; readonly reason: string };

/** Runs a program without a shell and keeps what it prints; a missing one is an answer, not an error. */
export type RunProgram = (command: string, args: readonly string[]) => Promise<ProgramOutput>;

/** Runs for at most five seconds: drivers in trouble hang their tools. */
export const runProgram: RunProgram = (command, args) =>
  new Promise((resolve) => {
    execFile(command, args, { timeout: 5000, windowsHide: true }, (error, stdout, stderr) => {
      if (!error) return resolve({ ok: true, stdout: stdout.trim() || stderr.trim() });
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return resolve({ ok: false, reason: 'not installed' });
      const said = (stderr || stdout).trim().split('\n')[0];
      resolve({ ok: false, reason: error.killed ? 'no answer within 5 s' : said || error.message });
    });
  });
