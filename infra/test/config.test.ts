import assert from 'node:assert/strict';
import test from 'node:test';
import { ConfigError, parseConfig } from '../lib/config';

const of = (settings: Record<string, unknown>) =>
  parseConfig(Object.fromEntries(Object.entries(settings).map(([key, value]) => [`flambeau:${key}`, value])));

test('everything has a default, and keys of others are left alone', () => {
  const config = parseConfig({ '@aws-cdk/core:x': true });
  assert.equal(config.arch, 'arm64');
  assert.equal(config.access, 'iam');
  assert.deepEqual(config.tenants, ['default']);
  assert.equal(config.tablePrefix, 'Flambeau');
  assert.equal(config.ingest || config.extension || config.dashboard, false);
});

test('text from the command line and JSON from cdk.json mean the same', () => {
  assert.deepEqual(of({ mergeBatch: '500', dashboard: 'true' }), of({ mergeBatch: 500, dashboard: true }));
  assert.deepEqual(of({ tenants: 'a, b' }), of({ tenants: ['a', 'b'] }));
  const writers = [{ account: '123456789012', tenant: 'default' }];
  assert.deepEqual(of({ writers: JSON.stringify(writers) }), of({ writers }));
  assert.equal(of({ bucketName: '' }).bucketName, undefined);
});

const wrong: [Record<string, unknown>, RegExp][] = [
  [{ arch: 'x86' }, /flambeau:arch is "x86"; it must be "arm64" or "x86_64"/],
  [{ stage: 'production' }, /"dev" or "prod"/],
  [{ access: 'none' }, /flambeau:access is "none"; it must be "iam" or "token"/],
  [{ mergeBatch: 2001 }, /flambeau:mergeBatch is 2001; it must be a whole number from 1 to 2000/],
  [{ mergeBatch: '' }, /whole number/],
  [{ mergeBatch: 11, mergeWindowSeconds: 0 }, /mergeWindowSeconds of at least 1/],
  [{ mergeConcurrency: 1 }, /from 2 to 1000/],
  [{ gbSecond: '0' }, /a price in dollars/],
  [{ gbSecond: '1e-5' }, /a price in dollars/],
  [{ logDays: 2 }, /one of 1, 3, 5/],
  [{ dashboard: 'yes' }, /true or false/],
  [{ tenants: [] }, /names/],
  [{ tenants: 'a,a' }, /different/],
  [{ tenants: 'x'.repeat(65) }, /holds a bad name: tenant .* has 65 bytes/],
  [{ tenants: '[' }, /is not JSON/],
  [{ writers: [{ account: '123', tenant: 'default' }] }, /a list like/],
  [{ writers: [{ account: '123456789012', tenant: 'other' }] }, /tenant "other", which flambeau:tenants does not list/],
  [{ writers: [{ account: '123456789012', tenant: 'default' }], bucketName: 'mine' }, /existing bucket/],
  [{ vpc: { subnets: [] } }, /"securityGroups"/],
  [{ keyArn: 'alias/mine' }, /ARN of a KMS key/],
  [{ alarmEmail: 'a@b', alarmTopicArn: 'arn:aws:sns:us-east-1:123456789012:t' }, /subscribe/],
  [{ achr: 'arm64' }, /flambeau:achr is not a setting; there are access, .*arch/],
];

for (const [settings, message] of wrong) {
  test(`refused: ${JSON.stringify(settings).slice(0, 60)}`, () => {
    assert.throws(() => of(settings), (error) => error instanceof ConfigError && message.test(error.message));
  });
}

test('limits take their last good value', () => {
  assert.equal(of({ mergeBatch: 2000 }).mergeBatch, 2000);
  assert.equal(of({ mergeBatch: 10, mergeWindowSeconds: 0 }).mergeWindowSeconds, 0);
  assert.equal(of({ tenants: 'x'.repeat(64) }).tenants.length, 1);
});
