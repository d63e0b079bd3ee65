import assert from 'node:assert/strict';
import test from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Profiled } from '../lib';
import { Made, tempDir, testApp } from './stub';

function rustFunction(stack: Stack, id: string, functionName?: string): lambda.Function {
  return new lambda.Function(stack, id, {
    functionName,
    runtime: lambda.Runtime.PROVIDED_AL2023,
    handler: 'bootstrap',
    code: lambda.Code.fromAsset(tempDir()),
  });
}

const newStack = (app: App = testApp()) => new Stack(app, 'Shop');

test('a profiled function has its settings, one action on one prefix, and labels', () => {
  const stack = newStack();
  const layer = lambda.LayerVersion.fromLayerVersionArn(stack, 'L', 'arn:aws:lambda:eu-west-1:123456789012:layer:x:1');
  Profiled.on(rustFunction(stack, 'Cart'), { bucketName: 'profiles', tenant: 'team', service: 'ca/rt', hz: 49, intervalSeconds: 600, layer });
  const made = new Made(stack);
  const { Environment, Layers, Tags } = made.one('AWS::Lambda::Function', 'Cart').Properties;
  assert.deepEqual(Environment.Variables, {
    FLAMBEAU_BUCKET: 'profiles',
    FLAMBEAU_HZ: '49',
    FLAMBEAU_INTERVAL: '600',
    FLAMBEAU_SERVICE: 'ca/rt',
    FLAMBEAU_TENANT: 'team',
  });
  assert.equal(Layers.length, 1);
  assert.deepEqual(Tags.map((tag: { Key: string }) => tag.Key), ['flambeau:service', 'flambeau:tenant']);
  assert.deepEqual(made.allowed('CartServiceRole'), ['s3:PutObject arn:{AWS::Partition}:s3:::profiles/snapshots/team/ca%2Frt/*']);
});

test('a steered function may read its own steering, and nothing else', () => {
  const stack = newStack();
  Profiled.on(rustFunction(stack, 'Cart'), { bucketName: 'profiles', service: 'ca/rt', steering: true });
  const made = new Made(stack);
  assert.equal(made.one('AWS::Lambda::Function', 'Cart').Properties.Environment.Variables.FLAMBEAU_STEERING, 'on');
  assert.deepEqual(made.allowed('CartServiceRole'), [
    's3:GetObject arn:{AWS::Partition}:s3:::profiles/config/default/ca%2Frt.json',
    's3:PutObject arn:{AWS::Partition}:s3:::profiles/snapshots/default/ca%2Frt/*',
  ]);
});

test('the service is the function\'s name where it has one, else its place in the app', () => {
  const stack = newStack();
  Profiled.on(rustFunction(stack, 'Named', 'checkout'), { bucketName: 'profiles' });
  Profiled.on(rustFunction(stack, 'Cart'), { bucketName: 'profiles' });
  const made = new Made(stack);
  const service = (id: string) => made.one('AWS::Lambda::Function', id).Properties.Environment.Variables.FLAMBEAU_SERVICE;
  assert.deepEqual([service('Named'), service('Cart')], ['checkout', 'Shop-Cart']);
  assert.match(made.allowed('CartServiceRole')[0]!, /\/snapshots\/default\/Shop-Cart\/\*$/);
});

test('a whole app is profiled but for what is not Rust or was done by itself', () => {
  const stack = newStack();
  Profiled.on(rustFunction(stack, 'Own'), { bucketName: 'others', service: 'own' });
  rustFunction(stack, 'Cart');
  new lambda.Function(stack, 'Python', { runtime: lambda.Runtime.PYTHON_3_13, handler: 'x.y', code: lambda.Code.fromInline('pass') });
  Profiled.all(stack, { bucketName: 'profiles' });
  const made = new Made(stack);
  const bucket = (id: string) => made.one('AWS::Lambda::Function', id).Properties.Environment?.Variables.FLAMBEAU_BUCKET;
  assert.deepEqual([bucket('Own'), bucket('Cart'), bucket('Python')], ['others', 'profiles', undefined]);
  made.template.resourceCountIs('AWS::IAM::Policy', 2);
});

test('with a key of its own the bucket needs one action more', () => {
  const stack = newStack();
  Profiled.on(rustFunction(stack, 'Cart'), { bucketName: 'profiles', keyArn: 'arn:aws:kms:eu-west-1:123456789012:key/k' });
  assert.equal(new Made(stack).allowed('CartServiceRole')[0], 'kms:GenerateDataKey arn:aws:kms:eu-west-1:123456789012:key/k');
});

test('what cannot be is refused', () => {
  const stack = newStack();
  assert.throws(() => Profiled.on(rustFunction(stack, 'A'), { bucketName: 'profiles', service: '' }), /service is empty/);
  assert.throws(() => Profiled.on(rustFunction(stack, 'B'), { bucketName: 'profiles', tenant: 'x'.repeat(65) }), /tenant .* 65 bytes/);
});
