import { existsSync } from 'node:fs';
import { EngineSentenceEncoder, type SentenceEncoder } from '../encoders/sentence-encoder.js';
import { routerErrors } from '../errors.js';
import { loadRouter } from '../router/artifact.js';
import { Router, type RouterSettings } from '../router/router.js';

/** Opens a sentence encoder on the config's backend. */
export type OpenEncoder = (path: string) => Promise<SentenceEncoder>;

/**
 * Opens sentence encoders on a backend.
 * @param threads for the encoder; one leaves the other cores to generation, undefined takes what the backend has
 */
export const openEncoderOn =
  (
    backend: () => Promise<{ readonly library: string; readonly device?: number }>,
    threads: number | undefined,
  ): OpenEncoder =>
  async (path) =>
    EngineSentenceEncoder.open(path, { ...(await backend()), threads });

/** A router ready to decide, and how to let go of its encoder. */
export interface OpenedRouter extends AsyncDisposable {
  readonly router: Router;
}

/**
 * Opens a trained router with the encoder that it was trained with. Throws LF_ROUTER_ARTIFACT or
 * LF_ROUTER_ENCODER_MISSING.
 * @param encoderPath where the encoder is now, when it has moved
 */
export async function openRouter(
  folder: string,
  openEncoder: OpenEncoder,
  settings: Partial<RouterSettings> = {},
  encoderPath?: string,
): Promise<OpenedRouter> {
  const trained = loadRouter(folder);
  let encoder: SentenceEncoder | undefined;
  if (trained.encoder) {
    const path = encoderPath ?? trained.encoder.path;
    if (!existsSync(path)) throw routerErrors.LF_ROUTER_ENCODER_MISSING({ folder, path });
    encoder = await openEncoder(path);
    if (encoder.size !== trained.encoder.size) {
      const { size } = encoder;
      await encoder.close();
      const reason = `its classifier reads vectors of ${trained.encoder.size} numbers, ${path} gives ${size}`;
      throw routerErrors.LF_ROUTER_ARTIFACT({ folder, reason });
    }
  }
  return {
    router: new Router(trained, encoder, settings),
    async [Symbol.asyncDispose]() {
      await encoder?.close();
    },
  };
}
