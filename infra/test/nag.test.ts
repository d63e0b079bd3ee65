import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import test from 'node:test';
import { App, Validations } from 'aws-cdk-lib';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { AwsSolutionsChecks, ServerlessChecks } from 'cdk-nag';
import { FlambeauStack } from '../lib/stack';
import { testApp, testStack } from './stub';

/** Everything that can be switched on, in this stage. */
function whole(app: App, stage: string): FlambeauStack {
  const access = stage === 'dev' ? 'token' : 'iam';
  const settings = { stage, access, tenants: 'default,other', dashboard: true, ingest: true, extension: true };
  const context = Object.entries(settings).map(([key, value]) => [`flambeau:${key}`, value]);
  return testStack({ ...Object.fromEntries(context), 'flambeau:stackName': `Flambeau-${stage}` }, app);
}

test('cdk-nag finds nothing that was not answered beside its resource', () => {
  const app = testApp();
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app), new ServerlessChecks(app));
  whole(app, 'dev');
  whole(app, 'prod');
  const { directory } = app.synth();
  const report = fs.readFileSync(path.join(directory, 'validation-report.json'), 'utf8');
  assert.match(report, /AwsSolutions/);
});

test('and it does look', () => {
  const app = testApp();
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  new s3.Bucket(whole(app, 'dev'), 'Careless');
  assert.throws(() => app.synth(), /Validation failed/);
});
