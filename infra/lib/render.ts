/** Render: one tenant's profiles over HTTP. */
import { CfnOutput, Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secrets from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { Alarms } from './alarms';
import { Config } from './config';
import { contract, encodePart, env, prefixes } from './contract';
import { RustFunction } from './rust-function';
import { Storage } from './storage';

const TIMEOUT = Duration.seconds(60);

/** The render function of one tenant, with its URL, who may call it, and an alarm. */
export class RenderFunction extends Construct {
  readonly function: RustFunction;
  readonly url: lambda.FunctionUrl;

  constructor(scope: Construct, id: string, config: Config, storage: Storage, readonly tenant: string) {
    super(scope, id);
    const byToken = config.access === 'token';
    this.function = new RustFunction(this, 'Function', {
      config,
      storage,
      binary: contract.binaries.render,
      description: `Flambeau render: profiles of tenant ${tenant}`,
      tenant,
      memoryMb: config.renderMemoryMb,
      timeout: TIMEOUT,
      environment: {
        [env.access]: config.access,
        ...(config.gbSecond && { [env.gbSecond]: config.gbSecond }),
        ...(byToken && { [env.secret]: contract.render.secretPlace + this.secretName(config) }),
      },
    });
    this.allow(storage);
    this.url = this.function.fn.addFunctionUrl({
      // Without AWS_IAM everyone reaches the function, which then asks for a token itself.
      authType: byToken ? lambda.FunctionUrlAuthType.NONE : lambda.FunctionUrlAuthType.AWS_IAM,
      // What the binary speaks: a buffered answer behind a streaming URL arrives as an envelope of JSON.
      invokeMode: contract.render.invokeMode as lambda.InvokeMode,
    });
    new CfnOutput(this, 'Url', { value: this.url.url, description: `Profiles of tenant ${tenant}` });
    if (byToken) this.askForTokens(config);
    else this.letReadersIn();
  }

  /** Adds this function's alarm. */
  watch(alarms: Alarms, id: string): void {
    alarms.add(id, {
      metric: this.function.fn.metric('Url5xxCount', { period: Duration.minutes(5), statistic: 'Sum' }),
      threshold: 5,
      description: `Render answered five requests for tenant ${this.tenant} with an error. docs/runbook.md#renderfails`,
    });
  }

  /** What a dashboard shows of it. */
  metrics(): cloudwatch.IMetric[] {
    return [this.function.fn.metricDuration(), this.function.fn.metric('UrlRequestCount')];
  }

  /**
   * This tenant's objects and rows only. No `s3:ListBucket`: it would tell other
   * tenants' names, and render asks for objects by the rows it was allowed to see.
   */
  private allow(storage: Storage): void {
    const { function: render, tenant } = this;
    const of = (prefix: string): string => storage.objects(prefix, tenant);
    render.may(['s3:GetObject'], [of(prefixes.segments), of(prefixes.blocks), of(prefixes.results)]);
    render.may(['s3:PutObject'], [of(prefixes.results)]);
    const { catalogue, separator } = contract.rows;
    const partitions = [`${encodePart(tenant)}${separator}*`, `${catalogue}${encodePart(tenant)}`];
    render.may(['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query'], [storage.blocks.tableArn], {
      'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': partitions },
    });
  }

  /** What a person or a machine needs in order to ask, where AWS says who is who. */
  private letReadersIn(): void {
    const readers = new iam.ManagedPolicy(this, 'Readers', {
      description: `May read the profiles of tenant ${this.tenant} from Flambeau`,
      statements: [
        new iam.PolicyStatement({
          actions: ['lambda:InvokeFunctionUrl'],
          resources: [this.function.fn.functionArn],
          conditions: { StringEquals: { 'lambda:FunctionUrlAuthType': 'AWS_IAM' } },
        }),
        // Since October 2025 a URL asks for this one too.
        new iam.PolicyStatement({
          actions: ['lambda:InvokeFunction'],
          resources: [this.function.fn.functionArn],
          conditions: { Bool: { 'lambda:InvokedViaFunctionUrl': 'true' } },
        }),
      ],
    });
    new CfnOutput(this, 'ReadersArn', { value: readers.managedPolicyArn });
  }

  /**
   * The secret is made by `flambeau token`, not here: a stack would have to make it
   * with a content, and its template is no place for one. Until then nobody is let in.
   */
  private askForTokens(config: Config): void {
    const name = this.secretName(config);
    const secret = secrets.Secret.fromSecretNameV2(this, 'Secret', name);
    this.function.may(['secretsmanager:GetSecretValue'], [`${secret.secretArn}-??????`]);
    new CfnOutput(this, 'SecretPlace', {
      value: contract.render.secretPlace + name,
      description: `What flambeau token --secret takes, for tenant ${this.tenant}`,
    });
  }

  /** Names of secrets take no percent sign, and a key's encoding no plus. */
  private secretName(config: Config): string {
    return `${config.stackName}/${encodePart(this.tenant).replaceAll('%', '+')}`;
  }
}
