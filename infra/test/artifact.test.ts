import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import test from 'node:test';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import { checkBootstrap } from '../lib/artifact';
import { elf, stubArtifacts, tempDir, testStack, zip } from './stub';

function check(bytes: Buffer, arch: 'arm64' | 'x86_64'): void {
  const file = path.join(tempDir(), 'bootstrap.zip');
  fs.writeFileSync(file, bytes);
  checkBootstrap(file, arch);
}

test('a bootstrap for the right processor is taken, packed or not', () => {
  check(zip('bootstrap', elf(183)), 'arm64');
  check(zip('bootstrap', elf(62), { deflate: false }), 'x86_64');
});

test('what Lambda could not start is refused with the reason', () => {
  assert.throws(() => check(zip('bootstrap', elf(62)), 'arm64'), /built for x86_64, but flambeau:arch is arm64/);
  assert.throws(() => check(zip('bootstrap', elf(243)), 'arm64'), /built for machine 243/);
  assert.throws(() => check(zip('merge', elf(183)), 'arm64'), /no file "bootstrap"/);
  assert.throws(() => check(zip('bootstrap', elf(183), { mode: 0o644 }), 'arm64'), /not executable/);
  assert.throws(() => check(zip('bootstrap', Buffer.from('#!/bin/sh')), 'arm64'), /not an ELF/);
  assert.throws(() => check(Buffer.from('no zip'), 'arm64'), /no file "bootstrap"/);
  const whole = zip('bootstrap', elf(183));
  for (let cut = 0; cut < whole.length; cut += 7) {
    assert.throws(() => check(whole.subarray(0, cut), 'arm64'), /cannot be deployed/);
  }
});

test('without zips there are placeholders, a warning, and a parameter nobody can give', () => {
  const stack = testStack({ 'flambeau:artifacts': tempDir() });
  const parameters = Template.fromStack(stack).findParameters('TheFunctionsAreNotBuilt');
  const parameter = Object.values(parameters)[0]!;
  assert.equal(parameter.Default, undefined);
  assert.equal(new RegExp(parameter.AllowedPattern as string).test('anything'), false);
  for (const part of ['Merge', 'Index', 'Render']) {
    Annotations.fromStack(stack).hasWarning(`/Flambeau/${part}/Function`, Match.stringLikeRegexp('is not there: build it'));
  }
});

test('with zips there is no such parameter', () => {
  const parameters = Template.fromStack(testStack({ 'flambeau:artifacts': stubArtifacts() })).findParameters('TheFunctions*');
  assert.deepEqual(parameters, {});
});
