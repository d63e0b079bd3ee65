import assert from 'node:assert/strict';
import test from 'node:test';
import { contract, days, prefixes } from '../lib/contract';
import { Made, testStack } from './stub';

const made = new Made(testStack({ 'flambeau:tenants': 'default,tea/m' }));
const { template } = made;
const properties = (type: string, id: string) => made.one(type, id).Properties;

const LOGS = (name: string) => [`logs:CreateLogStream {${name}FunctionLog}`, `logs:PutLogEvents {${name}FunctionLog}`];

test('merge may do exactly this', () => {
  assert.deepEqual(made.allowed('MergeFunctionRole'), [
    'dynamodb:BatchGetItem {StorageClaims}',
    'dynamodb:PutItem {StorageBlocks}',
    'dynamodb:PutItem {StorageClaims}',
    ...LOGS('Merge'),
    's3:GetObject {StorageBucket}/snapshots/*',
    's3:ListBucket {StorageBucket}',
    's3:PutObject {StorageBucket}/parked/*',
    's3:PutObject {StorageBucket}/segments/*',
    'sqs:DeleteMessage {MergeQueue}',
    'sqs:GetQueueAttributes {MergeQueue}',
    'sqs:ReceiveMessage {MergeQueue}',
  ]);
});

test('index may do exactly this', () => {
  assert.deepEqual(made.allowed('IndexFunctionRole'), [
    'dynamodb:BatchGetItem {StorageBlocks}',
    'dynamodb:BatchGetItem {StorageClaims}',
    'dynamodb:DeleteItem {StorageBlocks}',
    'dynamodb:DescribeStream {StorageBlocks.StreamArn}',
    'dynamodb:GetItem {StorageBlocks}',
    'dynamodb:GetRecords {StorageBlocks.StreamArn}',
    'dynamodb:GetShardIterator {StorageBlocks.StreamArn}',
    'dynamodb:ListStreams {StorageBlocks}/stream/*',
    'dynamodb:PutItem {StorageBlocks}',
    'dynamodb:PutItem {StorageClaims}',
    'dynamodb:Query {StorageBlocks}',
    'dynamodb:UpdateItem {StorageBlocks}',
    ...LOGS('Index'),
    's3:DeleteObject {StorageBucket}/blocks/*',
    's3:DeleteObject {StorageBucket}/segments/*',
    's3:GetObject {StorageBucket}/blocks/*',
    's3:GetObject {StorageBucket}/segments/*',
    's3:ListBucket {StorageBucket}',
    's3:PutObject {StorageBucket}/blocks/*',
    's3:PutObject {StorageBucket}/parked/*',
    's3:PutObject {StorageBucket}/segments/*.commit',
    'sqs:DeleteMessage {MergeDeadLetters}',
    'sqs:GetQueueAttributes {MergeDeadLetters}',
    'sqs:ReceiveMessage {MergeDeadLetters}',
    'sqs:SendMessage {IndexLostHints}',
  ]);
});

test('render may read its own tenant and write its results', () => {
  assert.deepEqual(made.allowed('Render2FunctionRole'), [
    'dynamodb:BatchGetItem {StorageBlocks}',
    'dynamodb:GetItem {StorageBlocks}',
    'dynamodb:Query {StorageBlocks}',
    ...LOGS('Render2'),
    's3:GetObject {StorageBucket}/blocks/tea%2Fm/*',
    's3:GetObject {StorageBucket}/results/tea%2Fm/*',
    's3:GetObject {StorageBucket}/segments/tea%2Fm/*',
    's3:PutObject {StorageBucket}/results/tea%2Fm/*',
  ]);
  const statements = properties('AWS::IAM::Policy', 'Render2FunctionRole').PolicyDocument.Statement;
  const rows = statements.find((one: { Action: string[] }) => one.Action.includes('dynamodb:Query'));
  assert.deepEqual(rows.Condition, {
    'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['tea%2Fm/*', 'catalogue.tea%2Fm'] },
  });
});

test('a writer has exactly one action, on its tenant', () => {
  assert.deepEqual(made.allowed('WritersPolicy', 'AWS::IAM::ManagedPolicy'), ['s3:PutObject {StorageBucket}/snapshots/default/*']);
  assert.deepEqual(made.allowed('Writers2Policy', 'AWS::IAM::ManagedPolicy'), ['s3:PutObject {StorageBucket}/snapshots/tea%2Fm/*']);
});

test('no policy of any role has a wildcard among its actions, or stands on everything', () => {
  for (const type of ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy']) {
    for (const id of Object.keys(made.all(type))) {
      for (const permission of made.allowed(id, type)) {
        const [action, resource] = permission.split(' ');
        assert.ok(!action!.includes('*') && resource !== '*', permission);
      }
    }
  }
});

test('nothing runs that is not ours: no custom resources, no reserved concurrency', () => {
  template.resourceCountIs('AWS::Lambda::Function', 4);
  const types = new Set(Object.values(template.toJSON().Resources as Record<string, { Type: string }>).map(({ Type }) => Type));
  assert.ok(![...types].some((type) => type.startsWith('Custom::') || type.includes('CustomResource')));
  for (const { Properties } of Object.values(made.all('AWS::Lambda::Function'))) {
    assert.equal(Properties!.ReservedConcurrentExecutions, undefined);
    assert.equal(Properties!.Runtime, 'provided.al2023');
    assert.deepEqual(Properties!.Architectures, ['arm64']);
  }
});

test('functions are told where everything is, in the words of the contract', () => {
  const { Variables } = properties('AWS::Lambda::Function', 'Render2Function').Environment;
  const { access, bucket, table, tenant } = contract.environment;
  assert.deepEqual(Object.keys(Variables).sort(), [access, bucket, table, tenant].sort());
  assert.equal(Variables[access], 'iam');
  assert.equal(Variables[tenant], 'tea/m');
  assert.equal(properties('AWS::DynamoDB::Table', 'StorageClaims').TableName, `${Variables[table]}${contract.tables.claims.suffix}`);
  assert.equal(properties('AWS::DynamoDB::Table', 'StorageBlocks').TableName, `${Variables[table]}${contract.tables.blocks.suffix}`);
});

test('merge reads its queue in batches and says which messages failed', () => {
  const source = properties('AWS::Lambda::EventSourceMapping', 'MergeSource');
  assert.deepEqual(
    [source.BatchSize, source.MaximumBatchingWindowInSeconds, source.FunctionResponseTypes, source.ScalingConfig],
    [1000, 20, ['ReportBatchItemFailures'], { MaximumConcurrency: 10 }],
  );
});

test('a message stays invisible six times as long as its reader may take', () => {
  const timeout = (id: string) => properties('AWS::Lambda::Function', id).Timeout;
  const queue = properties('AWS::SQS::Queue', 'MergeQueue');
  assert.ok(queue.VisibilityTimeout >= 6 * timeout('MergeFunction') + 20);
  assert.ok(properties('AWS::SQS::Queue', 'MergeDeadLetters').VisibilityTimeout >= 6 * timeout('IndexFunction'));
  assert.equal(queue.RedrivePolicy.maxReceiveCount, 5);
  assert.ok(queue.RedrivePolicy.maxReceiveCount > contract.merge.lonelyReceives);
});

test('queues keep messages as long as the contract says, and take them by TLS only', () => {
  for (const id of ['MergeQueue', 'MergeDeadLetters']) {
    assert.equal(properties('AWS::SQS::Queue', id).MessageRetentionPeriod, days.queue * 86_400);
  }
  for (const [id, { Properties }] of Object.entries(made.all('AWS::SQS::QueuePolicy'))) {
    const statements = Properties!.PolicyDocument.Statement;
    const tls = statements.find((one: any) => one.Effect === 'Deny' && one.Condition.Bool['aws:SecureTransport'] === 'false');
    assert.ok(tls, id);
  }
});

test('only this account\'s buckets may send to the queue', () => {
  const statements = properties('AWS::SQS::QueuePolicy', 'MergeQueue').PolicyDocument.Statement;
  const allow = statements.filter((one: any) => one.Effect === 'Allow');
  assert.deepEqual(allow.map((one: any) => [one.Action, one.Principal, one.Condition]), [
    ['sqs:SendMessage', { Service: 's3.amazonaws.com' }, { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } }],
  ]);
});

test('index follows new open rows, bounded in every way', () => {
  const source = properties('AWS::Lambda::EventSourceMapping', 'IndexRows');
  assert.equal(source.BisectBatchOnFunctionError, true);
  assert.equal(source.MaximumRetryAttempts, 3);
  assert.equal(source.MaximumRecordAgeInSeconds, 21_600);
  assert.ok(source.DestinationConfig.OnFailure.Destination);
  assert.deepEqual(JSON.parse(source.FilterCriteria.Filters[0].Pattern), {
    eventName: ['INSERT'],
    dynamodb: { Keys: { sk: { S: [{ prefix: contract.rows.hinted }] } } },
  });
  const letters = properties('AWS::Lambda::EventSourceMapping', 'IndexLetters');
  assert.deepEqual(letters.FunctionResponseTypes, ['ReportBatchItemFailures']);
  template.hasResourceProperties('AWS::Events::Rule', { ScheduleExpression: `rate(${contract.index.tickMinutes} minutes)` });
});

test('the bucket is closed, encrypted, and tells merge of snapshots only', () => {
  const bucket = properties('AWS::S3::Bucket', 'StorageBucket');
  assert.deepEqual(Object.values(bucket.PublicAccessBlockConfiguration), [true, true, true, true]);
  assert.equal(bucket.OwnershipControls.Rules[0].ObjectOwnership, 'BucketOwnerEnforced');
  const [told, ...others] = bucket.NotificationConfiguration.QueueConfigurations;
  assert.deepEqual([told.Event, told.Filter.S3Key.Rules, others], ['s3:ObjectCreated:*', [{ Name: 'prefix', Value: prefixes.snapshots }], []]);
  assert.ok(made.one('AWS::S3::Bucket', 'StorageBucket').DependsOn.some((id: string) => id.startsWith('MergeQueuePolicy')));
});

test('objects go when the contract says so; merged blocks are swept by index', () => {
  const rules = properties('AWS::S3::Bucket', 'StorageBucket').LifecycleConfiguration.Rules;
  const expiry = rules.filter((rule: any) => rule.ExpirationInDays).map((rule: any) => [rule.Prefix, rule.ExpirationInDays, rule.Status]);
  assert.deepEqual(expiry, [
    [prefixes.snapshots, days.snapshots, 'Enabled'],
    [prefixes.segments, days.segments, 'Enabled'],
    [prefixes.parked, days.parked, 'Enabled'],
    [prefixes.results, days.results, 'Enabled'],
  ]);
  assert.ok(rules.some((rule: any) => rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation === 1));
});

test('the bucket refuses plain HTTP and snapshots without If-None-Match', () => {
  const statements = properties('AWS::S3::BucketPolicy', 'StorageBucket').PolicyDocument.Statement;
  const conditions = statements.filter((one: any) => one.Effect === 'Deny').map((one: any) => JSON.stringify(one.Condition));
  assert.ok(conditions.includes('{"Bool":{"aws:SecureTransport":"false"}}'));
  assert.ok(conditions.includes('{"NumericLessThan":{"s3:TlsVersion":1.2}}'));
  assert.ok(conditions.includes('{"Null":{"s3:if-none-match":"true"},"Bool":{"s3:ObjectCreationOperation":"true"}}'));
});

test('tables: on demand, keys and TTL of the contract, a stream of keys', () => {
  const { claims, blocks, expires } = contract.tables;
  const keys = (id: string) => properties('AWS::DynamoDB::Table', id).KeySchema.map((key: any) => `${key.KeyType} ${key.AttributeName}`);
  assert.deepEqual(keys('StorageClaims'), [`HASH ${claims.partition}`]);
  assert.deepEqual(keys('StorageBlocks'), [`HASH ${blocks.partition}`, `RANGE ${blocks.sort}`]);
  for (const id of ['StorageClaims', 'StorageBlocks']) {
    const table = properties('AWS::DynamoDB::Table', id);
    assert.deepEqual([table.BillingMode, table.TimeToLiveSpecification], ['PAY_PER_REQUEST', { AttributeName: expires, Enabled: true }]);
  }
  assert.equal(properties('AWS::DynamoDB::Table', 'StorageBlocks').StreamSpecification.StreamViewType, 'KEYS_ONLY');
  assert.equal(properties('AWS::DynamoDB::Table', 'StorageClaims').StreamSpecification, undefined);
});

test('every tenant has its own signed URL', () => {
  const urls = Object.values(made.all('AWS::Lambda::Url'));
  assert.deepEqual(urls.map(({ Properties }) => [Properties!.AuthType, Properties!.InvokeMode]), [
    ['AWS_IAM', contract.render.invokeMode],
    ['AWS_IAM', contract.render.invokeMode],
  ]);
  // Nobody is let in by the function's own policy: readers bring their permission.
  for (const { Properties } of Object.values(made.all('AWS::Lambda::Permission'))) {
    assert.notEqual(Properties!.Principal, '*');
  }
});

test('few alarms, whatever the number of tenants, all to one topic', () => {
  const alarms = Object.values(made.all('AWS::CloudWatch::Alarm')).map(({ Properties }) => Properties!);
  assert.deepEqual(alarms.map((alarm) => alarm.MetricName).sort(), [
    'ApproximateAgeOfOldestMessage',
    'Errors',
    'NumberOfMessagesReceived',
    'Url5xxCount',
  ]);
  const actions = alarms.flatMap((alarm) => [...alarm.AlarmActions, ...alarm.OKActions]).map((action) => JSON.stringify(action));
  assert.equal(new Set(actions).size, 1);
});
