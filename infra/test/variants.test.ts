import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import test from 'node:test';
import { contract } from '../lib/contract';
import { FlambeauStack } from '../lib/stack';
import { Made, stubArtifacts, testApp, testStack } from './stub';

const app = testApp();
const stack = (stackName: string, settings: Record<string, unknown> = {}): FlambeauStack => {
  const context = Object.entries({ ...settings, stackName }).map(([key, value]) => [`flambeau:${key}`, value]);
  return testStack(Object.fromEntries(context), app);
};

const KEY = 'arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-1111-2222-3333-0123456789ab';
const TOPIC = 'arn:aws:sns:eu-west-1:123456789012:pager';
/** All in one app, because synthesis takes seconds and can happen once. */
const stacks = {
  Flambeau: stack('Flambeau'),
  Prod: stack('Prod', { stage: 'prod' }),
  X86: stack('X86', { arch: 'x86_64', artifacts: stubArtifacts(62) }),
  Existing: stack('Existing', { bucketName: 'mine', alarmTopicArn: TOPIC }),
  Keyed: stack('Keyed', { keyArn: KEY, alarms: false }),
  Shared: stack('Shared', { tenants: 'a,b', writers: [{ account: '123456789012', tenant: 'b' }], dashboard: true }),
  Vpc: stack('Vpc', { vpc: { subnets: ['subnet-0123456789abcdef0'], securityGroups: ['sg-0123456789abcdef0'] }, alarmEmail: 'a@b.example' }),
  Tokens: stack('Tokens', { access: 'token', tenants: 'a,b/c', gbSecond: '0.00001' }),
  More: stack('More', { tenants: 'default,other', ingest: true, extension: true }),
};
const made = (name: keyof typeof stacks): Made => new Made(stacks[name]);

test('the template is as it was', () => {
  // What a change does to the stack is to be read in review; UPDATE=1 writes the file anew.
  const file = path.join(__dirname, 'stack.snapshot.json');
  const text = JSON.stringify(made('Flambeau').template.toJSON(), null, 2).replace(/[0-9a-f]{64}/g, 'HASH') + '\n';
  if (process.env.UPDATE) fs.writeFileSync(file, text);
  assert.equal(text, fs.readFileSync(file, 'utf8'));
});

test('in prod data stay: retained, protected, recoverable', () => {
  const dev = made('Flambeau');
  const prod = made('Prod');
  for (const type of ['AWS::DynamoDB::Table', 'AWS::S3::Bucket']) {
    for (const resource of Object.values(prod.all(type))) assert.equal(resource.DeletionPolicy, 'Retain');
    for (const resource of Object.values(dev.all(type))) assert.equal(resource.DeletionPolicy, 'Delete');
  }
  for (const { Properties } of Object.values(prod.all('AWS::DynamoDB::Table'))) {
    assert.equal(Properties!.DeletionProtectionEnabled, true);
    assert.equal(Properties!.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled, true);
  }
});

test('another processor', () => {
  const x86 = made('X86');
  for (const { Properties } of Object.values(x86.all('AWS::Lambda::Function'))) assert.deepEqual(Properties!.Architectures, ['x86_64']);
  assert.throws(() => testStack({ 'flambeau:arch': 'x86_64' }), /built for arm64, but flambeau:arch is x86_64/);
});

test('an existing bucket stays as it is, and tells merge by EventBridge', () => {
  const existing = made('Existing');
  for (const type of ['AWS::S3::Bucket', 'AWS::S3::BucketPolicy']) existing.template.resourceCountIs(type, 0);
  existing.template.hasResourceProperties('AWS::Events::Rule', {
    EventPattern: {
      source: ['aws.s3'],
      'detail-type': ['Object Created'],
      detail: { bucket: { name: ['mine'] }, object: { key: [{ prefix: 'snapshots/' }] } },
    },
  });
  assert.ok(existing.allowed('WritersPolicy', 'AWS::IAM::ManagedPolicy')[0]!.endsWith(':s3:::mine/snapshots/default/*'));
});

test('a key of one\'s own encrypts bucket and tables, and is used through them only', () => {
  const keyed = made('Keyed');
  const bucket = keyed.one('AWS::S3::Bucket', 'StorageBucket').Properties;
  const [rule] = bucket.BucketEncryption.ServerSideEncryptionConfiguration;
  assert.deepEqual(rule, {
    BucketKeyEnabled: true,
    ServerSideEncryptionByDefault: { KMSMasterKeyID: KEY, SSEAlgorithm: 'aws:kms' },
  });
  for (const { Properties } of Object.values(keyed.all('AWS::DynamoDB::Table'))) {
    assert.deepEqual(Properties!.SSESpecification, { KMSMasterKeyId: KEY, SSEEnabled: true, SSEType: 'KMS' });
  }
  const statements = keyed.one('AWS::IAM::Policy', 'RenderFunctionRole').Properties.PolicyDocument.Statement;
  const key = statements.find((one: any) => one.Resource === KEY);
  assert.ok(key.Condition.StringEquals['kms:ViaService'].length === 2 && !key.Action.some((action: string) => action.includes('*')));
  assert.deepEqual(keyed.allowed('WritersPolicy', 'AWS::IAM::ManagedPolicy'), [
    `kms:GenerateDataKey ${KEY}`,
    's3:PutObject {StorageBucket}/snapshots/default/*',
  ]);
});

test('with tokens the URL is open, and the function reads its own tenant\'s secret and no other', () => {
  const tokens = made('Tokens');
  for (const { Properties } of Object.values(tokens.all('AWS::Lambda::Url'))) assert.equal(Properties!.AuthType, 'NONE');
  const open = Object.values(tokens.all('AWS::Lambda::Permission')).filter(({ Properties }) => Properties!.Principal === '*');
  // Two a tenant, and both for requests through the URL only.
  assert.deepEqual(open.map(({ Properties: { Action, FunctionUrlAuthType, InvokedViaFunctionUrl } }: any) => [Action, FunctionUrlAuthType ?? InvokedViaFunctionUrl]), [
    ['lambda:InvokeFunctionUrl', 'NONE'],
    ['lambda:InvokeFunction', true],
    ['lambda:InvokeFunctionUrl', 'NONE'],
    ['lambda:InvokeFunction', true],
  ]);
  const { access, gbSecond, secret } = contract.environment;
  const { Variables } = tokens.one('AWS::Lambda::Function', 'Render2Function').Properties.Environment;
  assert.deepEqual([Variables[access], Variables[secret], Variables[gbSecond]], ['token', 'secretsmanager:Tokens/b+2Fc', '0.00001']);
  for (const [role, name] of [['RenderFunctionRole', 'a'], ['Render2FunctionRole', 'b+2Fc']]) {
    const secrets = tokens.allowed(role!).filter((one) => one.startsWith('secretsmanager:'));
    assert.deepEqual(secrets.map((one) => one.replace(/arn:.*:secret:/, '')), [`secretsmanager:GetSecretValue Tokens/${name}-??????`]);
  }
  // Readers are told by their tokens; a policy for them would let nobody in.
  assert.ok(!Object.keys(tokens.all('AWS::IAM::ManagedPolicy')).some((id) => id.includes('Readers')));
  assert.equal(Object.keys(tokens.template.findOutputs('*', { Value: 'secretsmanager:Tokens/a' })).length, 1);
});

test('writers of other accounts get one action on one tenant', () => {
  const shared = made('Shared');
  const statements = shared.one('AWS::S3::BucketPolicy', 'StorageBucket').Properties.PolicyDocument.Statement;
  const allowed = statements.filter((one: any) => one.Effect === 'Allow');
  assert.equal(allowed.length, 1);
  assert.equal(allowed[0].Action, 's3:PutObject');
  assert.match(JSON.stringify(allowed[0].Principal), /:iam::123456789012:root/);
  assert.match(JSON.stringify(allowed[0].Resource), /\/snapshots\/b\/\*/);
});

test('functions go into a VPC without any lookup', () => {
  const vpc = made('Vpc');
  for (const { Properties } of Object.values(vpc.all('AWS::Lambda::Function'))) {
    assert.deepEqual(Properties!.VpcConfig, { SubnetIds: ['subnet-0123456789abcdef0'], SecurityGroupIds: ['sg-0123456789abcdef0'] });
  }
  assert.ok(vpc.allowed('MergeFunctionRole').includes('ec2:CreateNetworkInterface *'));
});

test('ingest and the extension layer are there when asked for', () => {
  const more = made('More');
  assert.deepEqual(more.allowed('IngestFunctionRole').filter((one) => !one.startsWith('logs:')), ['s3:PutObject {StorageBucket}/snapshots/default/*']);
  const layer = more.one('AWS::Lambda::LayerVersion', 'ExtensionLayer');
  assert.deepEqual([layer.DeletionPolicy, layer.Properties.CompatibleArchitectures], ['Retain', ['arm64']]);
  const bare = made('Flambeau');
  bare.template.resourceCountIs('AWS::Lambda::LayerVersion', 0);
  bare.template.resourceCountIs('AWS::Lambda::Function', 3);
});

test('alarms go to a topic that is there, to an address, or nowhere', () => {
  const given = made('Existing');
  given.template.resourceCountIs('AWS::SNS::Topic', 0);
  given.template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: [TOPIC] });
  made('Vpc').template.hasResourceProperties('AWS::SNS::Subscription', { Protocol: 'email' });
  const silent = made('Keyed');
  silent.template.resourceCountIs('AWS::CloudWatch::Alarm', 0);
  silent.template.resourceCountIs('AWS::SNS::Topic', 0);
});

test('a dashboard shows every function', () => {
  const board = made('Shared');
  const body = JSON.stringify(board.all('AWS::CloudWatch::Dashboard'));
  for (const title of ['Merge', 'Index', 'Render a', 'Render b']) assert.ok(body.includes(title), title);
});

test('a second tenant replaces nothing of the first', () => {
  // Some ids hold the stack's name, and a hash of it.
  const plain = (id: string, name: string) => id.replace(new RegExp(`${name}|[0-9A-F]{8}$`, 'g'), '');
  const ids = (name: keyof typeof stacks) =>
    Object.keys(made(name).template.toJSON().Resources).map((id) => plain(id, name).replace(/[0-9A-F]{8}$/, ''));
  const more = new Set(ids('More'));
  assert.deepEqual(ids('Flambeau').filter((id) => !more.has(id)), []);
});
