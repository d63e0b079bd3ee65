/** Merge: snapshots in, committed blocks out. Owns its queue and the dead letters behind it. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge';
import { Alarms } from './alarms';
import { Config } from './config';
import { contract, days, prefixes } from './contract';
import { RustFunction } from './rust-function';
import { Storage } from './storage';

/** Longest merge of one batch. */
const TIMEOUT = Duration.seconds(120);
/** Deliveries before a message is given up. Those from the third on are merged alone. */
const MAX_RECEIVES = 5;
/** A queue this old is behind: more than two failed deliveries. */
const BEHIND = Duration.minutes(30);

/** The merge function with its queue, dead-letter queue, event source and alarm. */
export class MergeFunction extends Construct {
  readonly function: RustFunction;
  readonly queue: sqs.Queue;
  readonly deadLetters: sqs.Queue;

  constructor(scope: Construct, id: string, config: Config, storage: Storage) {
    super(scope, id);
    const life = Duration.days(days.queue);
    const encryption = sqs.QueueEncryption.SQS_MANAGED;
    this.deadLetters = new sqs.Queue(this, 'DeadLetters', {
      // A message keeps the age it had when it is moved here.
      retentionPeriod: life,
      // Index takes from it, so its time counts; see IndexFunction.
      visibilityTimeout: Duration.minutes(90),
      encryption,
      enforceSSL: true,
    });
    acknowledge(this.deadLetters, {
      'Serverless::Serverless-SQSRedrivePolicy': 'It is the dead-letter queue',
    });
    this.queue = new sqs.Queue(this, 'Queue', {
      retentionPeriod: life,
      visibilityTimeout: Duration.seconds(6 * TIMEOUT.toSeconds() + config.mergeWindowSeconds),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: MAX_RECEIVES },
      encryption,
      enforceSSL: true,
    });
    this.function = new RustFunction(this, 'Function', {
      config,
      storage,
      binary: contract.binaries.merge,
      description: 'Flambeau merge: snapshots to blocks',
      tenant: config.tenants[0]!,
      memoryMb: config.mergeMemoryMb,
      timeout: TIMEOUT,
    });
    this.allow(storage);
    this.listen(config);
    storage.notify(this.queue);
  }

  /** Adds this function's alarms. */
  watch(alarms: Alarms): void {
    alarms.add('GivenUp', {
      metric: this.deadLetters.metricNumberOfMessagesReceived({ period: Duration.minutes(5), statistic: 'Sum' }),
      threshold: 1,
      description: 'Snapshots were given up after five deliveries and are being parked. docs/runbook.md#givenup',
    });
    alarms.add('MergeBehind', {
      metric: this.queue.metricApproximateAgeOfOldestMessage({ period: Duration.minutes(5), statistic: 'Maximum' }),
      threshold: BEHIND.toSeconds(),
      description: 'A snapshot has waited for half an hour to be merged. docs/runbook.md#mergebehind',
    });
  }

  /** What a dashboard shows of it. */
  metrics(): cloudwatch.IMetric[] {
    return [this.function.fn.metricDuration(), this.queue.metricApproximateNumberOfMessagesVisible()];
  }

  private allow(storage: Storage): void {
    const { function: merge } = this;
    merge.may(['s3:GetObject'], [storage.objects(prefixes.snapshots)]);
    // Without it S3 answers 403 for an object that is gone, and "gone" is a fate of its own.
    merge.may(['s3:ListBucket'], [storage.bucket.bucketArn]);
    merge.may(['s3:PutObject'], [storage.objects(prefixes.segments), storage.objects(prefixes.parked)]);
    merge.may(['dynamodb:BatchGetItem', 'dynamodb:PutItem'], [storage.claims.tableArn]);
    merge.may(['dynamodb:PutItem'], [storage.blocks.tableArn]);
    merge.may(['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'], [this.queue.queueArn]);
  }

  private listen(config: Config): void {
    const source = new lambda.EventSourceMapping(this, 'Source', {
      target: this.function.fn,
      eventSourceArn: this.queue.queueArn,
      batchSize: config.mergeBatch,
      maxBatchingWindow: Duration.seconds(config.mergeWindowSeconds),
      reportBatchItemFailures: true,
      maxConcurrency: config.mergeConcurrency,
    });
    acknowledge(source, {
      'Serverless::Serverless-LambdaEventSourceMappingDestination': 'A queue has a redrive policy instead',
    });
  }
}
