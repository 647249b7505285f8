import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../test/running-server.js';

const adminKey = 'admin-key-0123456789abcdef';
const admin = { authorization: `Bearer ${adminKey}` };
let running: RunningServer;
beforeAll(async () => {
  running = await startServer({}, { adminKeys: [adminKey] });
});
afterAll(() => running[Symbol.asyncDispose]());

const load = (body: object, headers: Record<string, string> = admin) =>
  running.post('/v1/load_lora_adapter', body, headers);
const unload = (body: object) => running.post('/v1/unload_lora_adapter', body, admin);

describe('adapters', () => {
  it('are loaded and unloaded while the server runs, and listed with their base model', async () => {
    const loaded = await load({ lora_name: 'my-adapter', lora_path: '/adapters/mine', base_model_name: 'tiny' });
    expect(await loaded.text()).toBe("Success: LoRA adapter 'my-adapter' added successfully.");
    expect(loaded.status).toBe(200);
    const { data } = await running.client().models.list();
    expect(data.find(({ id }) => id === 'my-adapter')).toMatchObject({ object: 'model', parent: 'base' });
    expect(running.host.specs.at(-1)).toEqual({ path: '/adapters/mine', id: 'my-adapter', base: 'tiny' });
    expect(await (await unload({ lora_name: 'my-adapter' })).text()).toMatch(/removed successfully/);
    expect((await running.client().models.list()).data.map(({ id }) => id)).not.toContain('my-adapter');
  });

  it('belong to the only base model when none is named', async () => {
    await load({ lora_name: 'other-adapter', lora_path: '/adapters/other' });
    expect(running.host.specs.at(-1)).toMatchObject({ base: 'tiny' });
  });

  it.each([
    ['an unknown base', load, { lora_name: 'a', lora_path: '/a', base_model_name: 'b' }, 404, 'base_model_name'],
    ['a folder that is not there', load, { lora_name: 'a', lora_path: '/nowhere' }, 400, 'lora_path'],
    ['no path', load, { lora_name: 'a' }, 400, 'lora_path'],
    ['an unknown adapter', unload, { lora_name: 'nobody' }, 404, 'lora_name'],
    ['a base model', unload, { lora_name: 'tiny' }, 404, 'lora_name'],
  ])('refuse %s', async (_what, call, body, status, param) => {
    const response = await call(body);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { param, type: 'invalid_request_error' } });
  });

  it('are for administrators', async () => {
    expect((await load({ lora_name: 'a', lora_path: '/a' }, {})).status).toBe(401);
  });
});
