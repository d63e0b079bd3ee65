import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiffDocument, FlameDocument } from '../src/documents.ts';
import { nodeId } from '../src/node_id.ts';
import { boxesOf, diffScene, flameScene, isCut, matching, pathOf } from '../src/scene.ts';

const functions = (name: string[]) => ({ name, file: name.map(() => ''), line: name.map(() => 0), package: name.map(() => ''), inlined: name.map(() => 0) });

/** main 10 (a 6 (main 2), b 3 (other 1)). */
const flame: FlameDocument = {
  format: 'flambeau-flame',
  version: 1,
  sample_type: { type: 'cpu', unit: 'nanoseconds' },
  total: 10,
  whole: 10,
  path: [],
  functions: functions(['main', 'a', 'b']),
  nodes: { depth: [0, 1, 2, 1, 2], function: [0, 1, 0, 2, -1], own: [1, 4, 2, 2, 1] },
  truncated: { nodes: 1, value: 1 },
};

test('children stand in their parents, and what ends there is its own', () => {
  const scene = flameScene(flame);
  assert.deepEqual([...scene.x], [0, 0, 0, 6, 6]);
  assert.deepEqual([...scene.width], [10, 6, 2, 3, 1]);
  assert.deepEqual([...scene.parent], [-1, 0, 1, 0, 3]);
  assert.deepEqual(scene.rows.map((row) => [...row]), [[0], [1, 3], [2, 4]]);
  assert.deepEqual(pathOf(scene, 2), ['main', 'a', 'main']);
  assert.ok(isCut(scene, 3) && isCut(scene, 0) && !isCut(scene, 1));
});

test('what is found counts once, however often it is in a stack', () => {
  const scene = flameScene(flame);
  const found = boxesOf(scene, matching(scene.functions, /main/));
  assert.deepEqual([found.boxes, found.width], [[0, 2], 10]);
  assert.equal(boxesOf(scene, matching(scene.functions, /^[ab]$/)).width, 9);
});

test('ids of nodes are the server’s', () => {
  assert.equal(nodeId([]), 'cbf29ce484222325');
  // FNV-1a of "a" and a zero byte.
  assert.equal(nodeId(['a']), '089be207b544f1e4');
  assert.notEqual(nodeId(['a', 'b']), nodeId(['ab']));
});

test('each way of drawing a difference has its widths', () => {
  const document: DiffDocument = {
    format: 'flambeau-diff',
    version: 1,
    sample_type: { type: 'cpu', unit: 'nanoseconds' },
    basis: 'share',
    scale: [0.01, 0.005],
    total: [100, 200],
    spread: [true, true],
    path: [],
    functions: functions(['main', 'gone', 'new']),
    nodes: { depth: [0, 1, 1], function: [0, 1, 2], base: [40, 60, 0], subject: [120, 0, 80], sigma: [0, 0.1, -1] },
    top: { of: 0, function: [], flat: [[], []], cum: [[], []], flat_sigma: [], cum_sigma: [] },
    truncated: { nodes: 0, base: 0, subject: 0 },
  };
  const widths = (drawn: 'union' | 'differential' | 'elided') => [...diffScene(document, drawn).width].map((value) => Math.round(value * 100));
  // main itself: 40 of 100 before, 120 of 200 after.
  assert.deepEqual(widths('union'), [160, 60, 40]);
  assert.deepEqual(widths('differential'), [100, 0, 40]);
  assert.deepEqual(widths('elided'), [60, 60, 0]);
});
