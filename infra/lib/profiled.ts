/** What people call in their own CDK app: switches profiling on for their functions. */
import { Aspects, IAspect, Token } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as s3 from 'aws-cdk-lib/aws-s3';
import { Construct, IConstruct } from 'constructs';
import { checkService, checkTenant, contract, encodePart, env, prefixes } from './contract';

/** Where profiles go and whose they are. */
export interface ProfiledProps {
  /** The stack's bucket, by name (output `BucketName`). It may be another account's. */
  readonly bucketName: string;
  /** Whose profiles these are; `default` if not given. */
  readonly tenant?: string;
  /** What belongs together; if not given, the function's own name, or its place in the app. */
  readonly service?: string;
  /** Least seconds between two snapshots. */
  readonly intervalSeconds?: number;
  /** Samples per second of CPU time. */
  readonly hz?: number;
  /** Lets `flambeau steer` change interval and sampled share of the running function: it may read one key more. */
  readonly steering?: boolean;
  /** The bucket's KMS key, if it has one of its own. */
  readonly keyArn?: string;
  /** The extension's layer, once there is one. */
  readonly layer?: lambda.ILayerVersion;
}

/** An aspect's own settings. */
export interface ProfiledAppProps extends Omit<ProfiledProps, 'service'> {
  /** Which functions; all with a `provided` runtime if not given, since the SDK is for Rust. */
  readonly only?: (fn: lambda.Function) => boolean;
}

const MARK = Symbol.for('flambeau.profiled');

/**
 * Switches profiling on: environment, permission for one action on one prefix,
 * labels (as tags), and the layer if there is one.
 *
 * The function's code must use `profiler_sdk`; without it nothing happens.
 */
export class Profiled implements IAspect {
  /** Profiles every function below `scope` that `only` accepts and that was not done by itself. */
  static all(scope: Construct, props: ProfiledAppProps): void {
    Aspects.of(scope).add(new Profiled(props));
  }

  /**
   * Profiles one function.
   *
   * A role that CDK may not change (imported as immutable) must be allowed elsewhere.
   *
   * @throws when a name is empty or too long.
   */
  static on(fn: lambda.Function, props: ProfiledProps): void {
    const tenant = checkTenant(props.tenant ?? contract.defaults.tenant);
    const service = checkService(props.service ?? serviceOf(fn));
    Object.assign(fn, { [MARK]: true });
    const settings: Record<string, string | undefined> = {
      [env.bucket]: props.bucketName,
      [env.tenant]: tenant,
      [env.service]: service,
      [env.interval]: props.intervalSeconds?.toString(),
      [env.hz]: props.hz?.toString(),
      [env.steering]: props.steering ? 'on' : undefined,
    };
    for (const [name, value] of Object.entries(settings)) {
      if (value !== undefined) fn.addEnvironment(name, value);
    }
    allow(fn, props, tenant, service);
    const { tags } = fn.node.defaultChild as lambda.CfnFunction;
    tags.setTag('flambeau:tenant', tenant);
    tags.setTag('flambeau:service', service);
    if (props.layer) fn.addLayers(props.layer);
  }

  private constructor(private readonly props: ProfiledAppProps) {}

  visit(node: IConstruct): void {
    if (!(node instanceof lambda.Function) || MARK in node) return;
    const only = this.props.only ?? ((fn) => fn.runtime.name.startsWith('provided'));
    if (only(node)) Profiled.on(node, this.props);
  }
}

function allow(fn: lambda.Function, props: ProfiledProps, tenant: string, service: string): void {
  const of = (prefix: string): string => `${prefix}${encodePart(tenant)}/${encodePart(service)}`;
  const bucket = s3.Bucket.fromBucketName(fn, 'FlambeauBucket', props.bucketName);
  const may = (action: string, resource: string): void =>
    fn.addToRolePolicy(new iam.PolicyStatement({ actions: [action], resources: [resource] }));
  may('s3:PutObject', bucket.arnForObjects(`${of(prefixes.snapshots)}/*`));
  if (props.steering) may('s3:GetObject', bucket.arnForObjects(`${of(prefixes.config)}.json`));
  if (props.keyArn) may('kms:GenerateDataKey', props.keyArn);
  if (props.keyArn && props.steering) may('kms:Decrypt', props.keyArn);
}

/** A name that is known before deployment: a policy cannot wait for the function it is for. */
function serviceOf(fn: lambda.Function): string {
  const name = (fn.node.defaultChild as lambda.CfnFunction).functionName;
  if (name && !Token.isUnresolved(name)) return name;
  return fn.node.path.replace(/[^A-Za-z0-9_-]+/g, '-').slice(0, contract.names.serviceBytes);
}
