import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contrast, DARK, fnv, LIGHT, ofChange, ofPackage, type Rgb } from '../src/colour.ts';

const rgb = (hex: string): Rgb => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)) as Rgb;

test('text is read on every box, in both themes', () => {
  for (const theme of [LIGHT, DARK]) {
    const ink = rgb(theme.ink);
    for (let at = 0; at < 500; at += 1) {
      const box = ofPackage(`package-${at}`, theme);
      assert.ok(contrast(box, ink) >= 4.5, `${theme.dark} ${box}`);
    }
    for (let at = -50; at <= 50; at += 1) {
      const box = ofChange(at / 50, theme);
      assert.ok(contrast(box, ink) >= 4.5, `${theme.dark} change ${at}: ${box} ${contrast(box, ink)}`);
    }
    assert.ok(contrast(theme.grey, ink) >= 4.5);
  }
});

test('hues are the server’s', () => {
  // The Rust side: flambeau_flame::colour("runtime").
  assert.deepEqual(ofPackage('runtime', LIGHT), RUNTIME);
  assert.equal(fnv(''), 0xcbf29ce484222325n);
});

test('less and more are told apart without red and green', () => {
  const [less, more] = [ofChange(-1, LIGHT), ofChange(1, LIGHT)];
  assert.ok(less[2] > less[0] && more[0] > more[2]);
  assert.deepEqual(ofChange(Number.NaN, LIGHT), ofChange(0, LIGHT));
});

const RUNTIME: Rgb = [197, 186, 247];
