/**
 * One step of bench/quantise.mjs, in a process of its own: prints its time, its memory and the scores of windows, if it made
 * any, as the last line.
 *
 *   node bench/quantise-one.mjs STEP-AS-JSON
 */
import { readFileSync } from 'node:fs';
import backendCpu from '@largeforge/backend-cpu';
import { testPlugin } from '@largeforge/core/testing';
import evaluate from '@largeforge/evaluate';
import quantAwq from '@largeforge/quant-awq';
import quantGptq from '@largeforge/quant-gptq';
import quantize from '@largeforge/quantize';

const plugins = [backendCpu, evaluate, quantGptq, quantAwq];
const test = await testPlugin(quantize, { plugins, config: { backend: 'cpu' } });
const started = performance.now();
const outputs = await test.runStep(JSON.parse(process.argv[2]));
const seconds = (performance.now() - started) / 1000;
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
const scores = outputs.results === undefined ? {} : JSON.parse(readFileSync(outputs.results, 'utf8'));
const measured = { seconds, processor: (userCPUTime + systemCPUTime) / 1e6, peakBytes: maxRSS * 1024 };
process.stdout.write(`${JSON.stringify({ ...measured, windowScores: scores.windowScores })}\n`);
