import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The PyTorch process: one line in, one answer out. */
export class PytorchPeer {
  constructor(child, lines, name) {
    this.child = child;
    this.lines = lines;
    this.name = name;
  }

  /** Undefined, with a line that says so, when the interpreter has no PyTorch. */
  static async start(threads, file = 'pytorch.py', ...args) {
    const script = fileURLToPath(new URL(file, import.meta.url));
    const env = {
      ...process.env,
      OMP_NUM_THREADS: String(threads),
      HF_HUB_OFFLINE: '1',
      TRANSFORMERS_VERBOSITY: 'error',
    };
    const child = spawn(process.env.LARGEFORGE_PYTHON ?? 'python3', [script, String(threads), ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env,
    });
    // An interpreter that is not there says nothing, as one without PyTorch.
    child.on('error', () => {});
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done) {
      console.log('PyTorch, transformers and peft are not installed: no ratio');
      return undefined;
    }
    return new PytorchPeer(child, lines, JSON.parse(first.value).peer);
  }

  /** Seconds of a piece of work. */
  async run(work) {
    return (await this.answer(work)).seconds;
  }

  async answer(work) {
    this.child.stdin.write(`${work}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`PyTorch ended during "${work}"`);
    return JSON.parse(value);
  }

  /** Ends the process; gives the last that it says. */
  async finish() {
    this.stop();
    return JSON.parse((await this.lines.next()).value);
  }

  stop() {
    this.child.stdin.write('quit\n');
    this.child.stdin.end();
  }
}
