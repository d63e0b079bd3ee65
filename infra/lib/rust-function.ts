/** What all of Flambeau's functions have in common: a role of their own that starts with nothing, a log group, JSON logs. */
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { acknowledge, acknowledgeWildcards } from './acknowledge';
import { findArtifact } from './artifact';
import { Config } from './config';
import { env } from './contract';
import { Storage } from './storage';

/** What a function needs to be made. */
export interface RustFunctionProps {
  readonly config: Config;
  readonly storage: Storage;
  /** The binary, which is also the folder of its zip. */
  readonly binary: string;
  readonly description: string;
  /** Whose profiles it is about. */
  readonly tenant: string;
  readonly memoryMb: number;
  readonly timeout: Duration;
  readonly environment?: Record<string, string>;
}

/** A function made of a zip, with a role that may write its own log and nothing else yet. */
export class RustFunction extends Construct {
  readonly role: iam.Role;
  readonly logGroup: logs.LogGroup;
  readonly fn: lambda.Function;

  constructor(scope: Construct, id: string, props: RustFunctionProps) {
    super(scope, id);
    const { config, storage } = props;
    this.logGroup = new logs.LogGroup(this, 'Log', {
      retention: config.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.role = new iam.Role(this, 'Role', {
      assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
      description: props.description,
    });
    this.may(['logs:CreateLogStream', 'logs:PutLogEvents'], [this.logGroup.logGroupArn]);
    this.fn = new lambda.Function(this, 'Function', {
      description: props.description,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      handler: 'bootstrap',
      code: findArtifact(this, config.artifacts, props.binary, config.arch).code,
      architecture: config.arch === 'arm64' ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
      memorySize: props.memoryMb,
      timeout: props.timeout,
      role: this.role,
      logGroup: this.logGroup,
      loggingFormat: lambda.LoggingFormat.JSON,
      environment: {
        [env.bucket]: storage.bucket.bucketName,
        [env.table]: storage.tablePrefix,
        [env.tenant]: props.tenant,
        ...props.environment,
      },
    });
    this.placeInVpc(config);
    storage.mayUseKey(this);
    acknowledge(this, {
      'Serverless::Serverless-LambdaDLQ': 'Nobody invokes it asynchronously but the clock, and a lost tick is made up by the next',
      'Serverless::Serverless-LambdaTracing': 'Its log line tells durations; tracing would cost more than the function',
    });
  }

  /** Adds a permission. The function waits for it. */
  may(actions: string[], resources: string[], conditions?: Record<string, unknown>): void {
    this.role.addToPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
    acknowledgeWildcards(this, resources);
  }

  /** Subnets and groups are given by id, so that synth looks nothing up. */
  private placeInVpc(config: Config): void {
    if (!config.vpc) return;
    const raw = this.fn.node.defaultChild as lambda.CfnFunction;
    raw.vpcConfig = { subnetIds: config.vpc.subnets, securityGroupIds: config.vpc.securityGroups };
    // Lambda demands these on everything, and checks them when the function is made.
    const actions = ['CreateNetworkInterface', 'DescribeNetworkInterfaces', 'DescribeSubnets', 'DeleteNetworkInterface'];
    this.may(actions.map((action) => `ec2:${action}`), ['*']);
  }
}
