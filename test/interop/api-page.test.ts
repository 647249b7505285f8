import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve } from './served.js';

const quickstart = fileURLToPath(new URL('../../examples/quickstart', import.meta.url));

describe('the API page in Chromium', () => {
  let server: Awaited<ReturnType<typeof serve>>;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];
  const asked: string[] = [];

  beforeAll(async () => {
    server = await serve('base', quickstart);
    browser = await chromium.launch({
      executablePath: process.env.LARGEFORGE_CHROMIUM,
      // Chromium refuses its sandbox to root, as which containers run.
      args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    });
    page = await browser.newPage();
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(`${server.url}/docs`);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  const operation = (path: string) => page.locator('.opblock', { has: page.locator(`[data-path="${path}"]`) }).first();

  it('lists the routes and shows what they take', async () => {
    await operation('/v1/chat/completions').waitFor();
    for (const path of ['/v1/completions', '/v1/models', '/health', '/metrics'])
      expect(await operation(path).count(), path).toBe(1);
    const chat = operation('/v1/chat/completions');
    await chat.locator('.opblock-summary-control').click();
    await chat.getByText('Schema', { exact: true }).first().click();
    for (const name of ['temperature', 'max_tokens', 'stream_options'])
      expect(await chat.getByText(name, { exact: true }).count(), name).toBeGreaterThan(0);
  });

  it('sends a request that a reader typed, and shows the answer', async () => {
    const completions = operation('/v1/completions');
    await completions.locator('.opblock-summary-control').click();
    await completions.getByRole('button', { name: 'Try it out' }).click();
    await completions
      .locator('textarea.body-param__text')
      .fill(JSON.stringify({ model: 'base', prompt: 'The ', max_tokens: 4, temperature: 0 }));
    await completions.getByRole('button', { name: 'Execute' }).click();
    const answer = completions.locator('.live-responses-table .response-col_description .microlight').first();
    await answer.waitFor();
    const { object, usage } = JSON.parse((await answer.textContent()) ?? '') as {
      object: string;
      usage: { completion_tokens: number };
    };
    expect(object).toBe('text_completion');
    expect(usage.completion_tokens).toBe(4);
  });

  it('needs no other host and reports no error', () => {
    expect(problems).toEqual([]);
    expect(asked.filter((url) => !url.startsWith(server.url) && !url.startsWith('data:'))).toEqual([]);
  });
});
