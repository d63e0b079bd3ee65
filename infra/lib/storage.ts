/** The bucket and the two tables: all that must outlive a deployment. */
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { acknowledge } from './acknowledge';
import { Config } from './config';
import { contract, days, encodePart, prefixes } from './contract';

/** Who can be given a permission. */
export interface Grantee {
  may(actions: string[], resources: string[], conditions?: Record<string, unknown>): void;
}

/** Objects of the prefix go this many days after they were written. */
const EXPIRY: Record<string, number> = {
  [prefixes.snapshots]: days.snapshots,
  [prefixes.segments]: days.segments,
  [prefixes.parked]: days.parked,
  [prefixes.results]: days.results,
};

/** Bucket, claims table, blocks table. */
export class Storage extends Construct {
  readonly bucket: s3.IBucket;
  readonly claims: dynamodb.Table;
  readonly blocks: dynamodb.Table;
  readonly tablePrefix: string;
  private readonly key?: kms.IKey;
  private readonly config: Config;

  constructor(scope: Construct, id: string, config: Config) {
    super(scope, id);
    this.config = config;
    this.tablePrefix = config.tablePrefix;
    this.key = config.keyArn ? kms.Key.fromKeyArn(this, 'Key', config.keyArn) : undefined;
    this.bucket = config.bucketName
      ? s3.Bucket.fromBucketName(this, 'Bucket', config.bucketName)
      : this.makeBucket();
    const { claims, blocks } = contract.tables;
    this.claims = this.makeTable('Claims', claims.suffix, { partition: claims.partition });
    this.blocks = this.makeTable('Blocks', blocks.suffix, blocks, dynamodb.StreamViewType.KEYS_ONLY);
  }

  /** ARN of the objects below a prefix of the bucket; names are percent-encoded parts. */
  objects(prefix: string, ...names: string[]): string {
    return this.bucket.arnForObjects([prefix + names.map((name) => `${encodePart(name)}/`).join(''), '*'].join(''));
  }

  /** Sends the creation of snapshots to a queue. */
  notify(queue: sqs.Queue): void {
    if (this.config.bucketName) return this.notifyByEventBridge(queue);
    const allowed = queue.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: [new iam.ServicePrincipal('s3.amazonaws.com')],
        actions: ['sqs:SendMessage'],
        resources: [queue.queueArn],
        // The bucket's name is not known before the queue: S3 wants the policy first.
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
    );
    const raw = this.bucket.node.defaultChild as s3.CfnBucket;
    raw.notificationConfiguration = {
      queueConfigurations: [
        {
          event: 's3:ObjectCreated:*',
          queue: queue.queueArn,
          filter: { s3Key: { rules: [{ name: 'prefix', value: prefixes.snapshots }] } },
        },
      ],
    };
    if (allowed.policyDependable) raw.node.addDependency(allowed.policyDependable);
  }

  /** With a key of one's own, functions must be able to use it, through S3 and DynamoDB only. */
  mayUseKey(grantee: Grantee): void {
    if (!this.key) return;
    const via = ['s3', 'dynamodb'].map((service) => `${service}.${Stack.of(this).region}.amazonaws.com`);
    grantee.may(
      ['kms:Decrypt', 'kms:DescribeKey', 'kms:Encrypt', 'kms:GenerateDataKey', 'kms:ReEncryptFrom', 'kms:ReEncryptTo'],
      [this.key.keyArn],
      { StringEquals: { 'kms:ViaService': via } },
    );
  }

  private makeBucket(): s3.Bucket {
    const bucket = new s3.Bucket(this, 'Bucket', {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      encryption: this.key ? s3.BucketEncryption.KMS : s3.BucketEncryption.S3_MANAGED,
      encryptionKey: this.key,
      bucketKeyEnabled: this.key ? true : undefined,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      removalPolicy: this.kept(),
      lifecycleRules: [
        ...Object.entries(EXPIRY).map(([prefix, after]) => ({
          id: `expire-${prefix.slice(0, -1)}`,
          prefix,
          expiration: Duration.days(after),
        })),
        { id: 'abort-uploads', abortIncompleteMultipartUploadAfter: Duration.days(1) },
      ],
    });
    acknowledge(bucket, {
      'AwsSolutions::AwsSolutions-S1': 'Access logs of a bucket of small objects cost more than the objects; CloudTrail data events can be switched on',
    });
    bucket.addToResourcePolicy(demandNewKeys(bucket));
    for (const { account, tenant } of this.config.writers) {
      bucket.addToResourcePolicy(
        new iam.PolicyStatement({
          principals: [new iam.AccountPrincipal(account)],
          actions: ['s3:PutObject'],
          resources: [bucket.arnForObjects(`${prefixes.snapshots}${encodePart(tenant)}/*`)],
        }),
      );
    }
    return bucket;
  }

  private makeTable(
    id: string,
    suffix: string,
    keys: { partition: string; sort?: string },
    stream?: dynamodb.StreamViewType,
  ): dynamodb.Table {
    const isProd = this.config.stage === 'prod';
    const text = (name: string): dynamodb.Attribute => ({ name, type: dynamodb.AttributeType.STRING });
    const table = new dynamodb.Table(this, id, {
      tableName: `${this.tablePrefix}${suffix}`,
      partitionKey: text(keys.partition),
      sortKey: keys.sort ? text(keys.sort) : undefined,
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      timeToLiveAttribute: contract.tables.expires,
      stream,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: isProd },
      deletionProtection: isProd,
      encryption: this.key ? dynamodb.TableEncryption.CUSTOMER_MANAGED : dynamodb.TableEncryption.DEFAULT,
      encryptionKey: this.key,
      removalPolicy: this.kept(),
    });
    if (!isProd) {
      acknowledge(table, {
        'AwsSolutions::AwsSolutions-DDB3': 'Only prod: both tables can be made again from the bucket (flambeau index rebuild)',
      });
    }
    return table;
  }

  private kept(): RemovalPolicy {
    return this.config.stage === 'prod' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
  }

  /** An existing bucket keeps its own notifications: only EventBridge must be switched on there. */
  private notifyByEventBridge(queue: sqs.Queue): void {
    new events.Rule(this, 'Created', {
      description: 'Snapshots written to the existing bucket go to merge',
      eventPattern: {
        source: ['aws.s3'],
        detailType: ['Object Created'],
        detail: {
          bucket: { name: [this.bucket.bucketName] },
          object: { key: [{ prefix: prefixes.snapshots }] },
        },
      },
      targets: [new targets.SqsQueue(queue)],
    });
  }
}

/** A snapshot is written once: whoever forgets `If-None-Match` is refused. */
function demandNewKeys(bucket: s3.Bucket): iam.PolicyStatement {
  return new iam.PolicyStatement({
    sid: 'SnapshotsAreWrittenOnce',
    effect: iam.Effect.DENY,
    principals: [new iam.AnyPrincipal()],
    actions: ['s3:PutObject'],
    resources: [bucket.arnForObjects(`${prefixes.snapshots}*`)],
    // Parts of multipart uploads carry no such header; their completion does.
    conditions: { Null: { 's3:if-none-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } },
  });
}
