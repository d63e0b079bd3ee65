/** Index: keeps the index small. Woken by new rows, by the clock and by dead letters. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge';
import { Alarms } from './alarms';
import { Config } from './config';
import { contract, days, prefixes } from './contract';
import { MergeFunction } from './merge';
import { RustFunction } from './rust-function';
import { Storage } from './storage';

/** Longest tick over all services. Six times this is the dead-letter queue's visibility. */
const TIMEOUT = Duration.minutes(15);
/** New rows are only hints: what is lost by giving up is found by the next tick. */
const HINT = { batch: 100, window: Duration.seconds(10), retries: 3, maxAge: Duration.hours(6) };
const LETTERS_PER_BATCH = 10;

/** The index function with its stream, its schedule, its dead letters and alarm. */
export class IndexFunction extends Construct {
  readonly function: RustFunction;
  /** Which stretches of the stream were given up. Nobody must act on them. */
  readonly lostHints: sqs.Queue;

  constructor(scope: Construct, id: string, config: Config, storage: Storage, merge: MergeFunction) {
    super(scope, id);
    this.lostHints = new sqs.Queue(this, 'LostHints', {
      retentionPeriod: Duration.days(days.queue),
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
    });
    acknowledge(this.lostHints, {
      'AwsSolutions::AwsSolutions-SQS3': 'It holds what was given up, for people; nothing follows it',
      'Serverless::Serverless-SQSRedrivePolicy': 'It holds what was given up, for people; nothing follows it',
    });
    this.function = new RustFunction(this, 'Function', {
      config,
      storage,
      binary: contract.binaries.index,
      description: 'Flambeau index: compaction, catalogue, sweep, dead letters',
      tenant: config.tenants[0]!,
      memoryMb: config.indexMemoryMb,
      timeout: TIMEOUT,
    });
    this.allow(storage, merge);
    this.followRows(storage);
    this.takeLetters(merge);
    this.tick();
  }

  /** Adds this function's alarm. */
  watch(alarms: Alarms): void {
    alarms.add('IndexFails', {
      metric: this.function.fn.metricErrors({ period: Duration.minutes(15), statistic: 'Sum' }),
      threshold: 3,
      description: 'Index failed at least three times within a quarter of an hour. docs/runbook.md#indexfails',
    });
  }

  /** What a dashboard shows of it. */
  metrics(): cloudwatch.IMetric[] {
    return [this.function.fn.metricDuration(), this.function.fn.metric('IteratorAge')];
  }

  private allow(storage: Storage, merge: MergeFunction): void {
    const { function: index } = this;
    const merged = [storage.objects(prefixes.segments), storage.objects(prefixes.blocks)];
    index.may(['s3:GetObject', 's3:DeleteObject'], merged);
    index.may(['s3:ListBucket'], [storage.bucket.bucketArn]);
    const marks = `${storage.objects(prefixes.segments)}.commit`;
    index.may(['s3:PutObject'], [storage.objects(prefixes.blocks), storage.objects(prefixes.parked), marks]);
    index.may(['dynamodb:BatchGetItem', 'dynamodb:PutItem'], [storage.claims.tableArn]);
    const rows = ['GetItem', 'BatchGetItem', 'Query', 'PutItem', 'UpdateItem', 'DeleteItem'];
    index.may(rows.map((action) => `dynamodb:${action}`), [storage.blocks.tableArn]);
    const stream = ['DescribeStream', 'GetRecords', 'GetShardIterator'];
    index.may(stream.map((action) => `dynamodb:${action}`), [storage.blocks.tableStreamArn!]);
    // Asked of all streams of the table, whatever their age.
    index.may(['dynamodb:ListStreams'], [`${storage.blocks.tableArn}/stream/*`]);
    const receive = ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'];
    index.may(receive, [merge.deadLetters.queueArn]);
    index.may(['sqs:SendMessage'], [this.lostHints.queueArn]);
  }

  private followRows(storage: Storage): void {
    const { sort } = contract.tables.blocks;
    new lambda.EventSourceMapping(this, 'Rows', {
      target: this.function.fn,
      eventSourceArn: storage.blocks.tableStreamArn!,
      startingPosition: lambda.StartingPosition.TRIM_HORIZON,
      batchSize: HINT.batch,
      maxBatchingWindow: HINT.window,
      bisectBatchOnError: true,
      retryAttempts: HINT.retries,
      maxRecordAge: HINT.maxAge,
      onFailure: { bind: () => ({ destination: this.lostHints.queueArn }) },
      // Only new open blocks ask for work; what index itself writes does not wake it again.
      filters: [
        lambda.FilterCriteria.filter({
          eventName: lambda.FilterRule.isEqual('INSERT'),
          dynamodb: { Keys: { [sort]: { S: lambda.FilterRule.beginsWith(contract.rows.hinted) } } },
        }),
      ],
    });
  }

  private takeLetters(merge: MergeFunction): void {
    const source = new lambda.EventSourceMapping(this, 'Letters', {
      target: this.function.fn,
      eventSourceArn: merge.deadLetters.queueArn,
      batchSize: LETTERS_PER_BATCH,
      reportBatchItemFailures: true,
    });
    acknowledge(source, {
      'Serverless::Serverless-LambdaEventSourceMappingDestination': 'What fails stays in the dead-letter queue and comes again',
    });
  }

  private tick(): void {
    const rule = new events.Rule(this, 'Tick', {
      description: 'What a lost event would have done',
      schedule: events.Schedule.rate(Duration.minutes(contract.index.tickMinutes)),
      targets: [new targets.LambdaFunction(this.function.fn, { retryAttempts: 0 })],
    });
    acknowledge(rule, {
      'Serverless::Serverless-EventBusDLQ': 'A lost tick is made up by the next',
    });
  }
}
