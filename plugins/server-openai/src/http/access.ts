import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { apiErrors } from './api-error.js';

/** Who may call a route. Every route says it; one that does not is refused when the server is built. */
export type Access = 'public' | 'api' | 'admin';

/** Keys that open the server; replaced as a whole on a reload. */
export interface AccessKeys {
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
}

/**
 * Checks Bearer keys. Keys are kept and compared as HMACs under a key of this process, so that a comparison takes the
 * same time whatever the input, and every key is compared, so that it does not tell which one matched.
 */
export class AccessControl {
  private readonly pepper = randomBytes(32);
  private api: readonly Buffer[] = [];
  private admin: readonly Buffer[] = [];

  constructor(keys: AccessKeys) {
    this.replace(keys);
  }

  replace(keys: AccessKeys): void {
    this.api = keys.apiKeys.map((key) => this.digest(key));
    this.admin = keys.adminKeys.map((key) => this.digest(key));
  }

  /** Whether the API is open to whoever reaches the port. */
  get open(): boolean {
    return this.api.length === 0;
  }

  /** Throws a 401 or 403 unless the Authorization header allows the access. */
  check(access: Access, authorization: string | undefined): void {
    if (access === 'public') return;
    if (access === 'api' && this.open) return;
    if (access === 'admin' && this.admin.length === 0) throw apiErrors.adminDisabled();
    const key = bearerKey(authorization);
    if (key === undefined) throw apiErrors.missingKey();
    const digest = this.digest(key);
    const isAdmin = matches(digest, this.admin);
    const isApi = matches(digest, this.api);
    if (!isAdmin && !isApi) throw apiErrors.wrongKey();
    if (access === 'admin' && !isAdmin) throw apiErrors.adminOnly();
  }

  private digest(key: string): Buffer {
    return createHmac('sha256', this.pepper).update(key).digest();
  }
}

function matches(digest: Buffer, known: readonly Buffer[]): boolean {
  let found = false;
  for (const candidate of known) found = timingSafeEqual(digest, candidate) || found;
  return found;
}

function bearerKey(authorization: string | undefined): string | undefined {
  const match = /^Bearer +(\S+) *$/i.exec(authorization ?? '');
  return match?.[1];
}

const loopbackHosts = new Set(['localhost', '127.0.0.1', '[::1]', '::1']);

/** Whether an address can be reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return loopbackHosts.has(host) || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * Whether a request's Host header names this machine. Without API keys the port is open to every local program, also
 * to a web page in a browser whose domain was pointed at 127.0.0.1 (DNS rebinding): its requests carry that domain.
 */
export function isLocalHostHeader(header: string | undefined, allowed: readonly string[]): boolean {
  const name = (header ?? '').replace(/:\d+$/, '').toLowerCase();
  return isLoopback(name) || name.endsWith('.localhost') || allowed.some((host) => host.toLowerCase() === name);
}
