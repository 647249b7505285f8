/** The browser of the tests that read a page as a user does: Chromium, which Debian has as a package. */
import { spawnSync } from 'node:child_process';

const works = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** The command that starts Chromium, installed first where this is root on Debian; undefined where there is none. */
export function browser() {
  const found = () =>
    [process.env.LARGEFORGE_CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].find(
      (command) => command && works(command),
    );
  const here = found();
  if (here || process.getuid?.() !== 0) return here;
  const apt = (...args) =>
    spawnSync('apt-get', ['-qq', ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0;
  apt('update') && apt('install', '--yes', '--no-install-recommends', 'chromium');
  return found();
}
