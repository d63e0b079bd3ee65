import assert from 'node:assert/strict';
import test from 'node:test';
import { checkLifetimes, checkTenant, contract, days, encodePart } from '../lib/contract';

test('the lifetimes of the contract are ordered', () => {
  checkLifetimes();
});

test('lifetimes out of order are refused, naming the pair', () => {
  assert.throws(() => checkLifetimes({ ...days, snapshots: days.queue }), /snapshots must outlive queue/);
  assert.throws(() => checkLifetimes({ ...days, claims: days.segments - 1 }), /claims must outlive segments/);
  checkLifetimes({ queue: 1, snapshots: 2, segments: 3, claims: 4 });
});

test('names become parts of keys as in Rust', () => {
  const parts = { 'fast-slow': 'fast-slow', 'λ/x': '%CE%BB%2Fx', 't.u': 't%2Eu', '*?': '%2A%3F', '%': '%25', a_B9: 'a_B9' };
  for (const [name, part] of Object.entries(parts)) assert.equal(encodePart(name), part);
});

test('names have limits on both sides', () => {
  assert.equal(checkTenant('x'.repeat(contract.names.tenantBytes)).length, contract.names.tenantBytes);
  assert.throws(() => checkTenant('x'.repeat(contract.names.tenantBytes + 1)), /65 bytes, more than the 64/);
  assert.throws(() => checkTenant('λ'.repeat(33)), /66 bytes/);
  assert.throws(() => checkTenant(''), /empty/);
});
