import { defineErrors } from '@largeforge/core';

/** What can keep a server from starting, or from taking a changed config. */
export const serverErrors = defineErrors({
  LF_SERVER_PORT_IN_USE: {
    message: (a: { host: string; port: number }) => `port ${a.port} on ${a.host} is in use`,
    remedy: (a) =>
      `Stop what listens there (ss -ltnp 'sport = :${a.port}' shows it), or take another: --port ${a.port + 1}, or port: 0 for a free one.`,
  },
  LF_SERVER_PORT_FORBIDDEN: {
    message: (a: { port: number }) => `this user may not listen on port ${a.port}`,
    remedy: () => 'Take a port from 1024 on, or allow it (setcap cap_net_bind_service=+ep on the node binary).',
  },
  LF_SERVER_ADDRESS: {
    message: (a: { host: string; reason: string }) => `cannot listen on ${a.host}: ${a.reason}`,
    remedy: () => 'Use an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for all of its networks.',
  },
  LF_SERVER_UNSAFE_BIND: {
    message: (a: { host: string }) => `host ${a.host} can be reached from other machines, and no apiKeys are set`,
    remedy: () => 'Set apiKeys (apiKeys: ["${env:LARGEFORGE_API_KEY}"], or --api-key-file), or listen on 127.0.0.1.',
    exitCode: 2,
  },
  LF_SERVER_ROUTE_ACCESS: {
    message: (a: { method: string; url: string }) => `route ${a.method} ${a.url} does not say who may call it`,
    remedy: () => "Add {config: {access: 'public' | 'api' | 'admin'}} to the route.",
  },
  LF_SERVER_KEY_FILE: {
    message: (a: { file: string; reason: string }) => `no API keys could be read from ${a.file}: ${a.reason}`,
    remedy: () => 'The file holds one key a line, each of 16 characters or more without spaces.',
    exitCode: 2,
  },
});

/** The table's error for a failure to listen. */
export function listenError(error: unknown, host: string, port: number): unknown {
  const options = { cause: error };
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return serverErrors.LF_SERVER_PORT_IN_USE({ host, port }, options);
    case 'EACCES':
      return serverErrors.LF_SERVER_PORT_FORBIDDEN({ port }, options);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return serverErrors.LF_SERVER_ADDRESS({ host, reason: (error as Error).message }, options);
    default:
      return error;
  }
}
