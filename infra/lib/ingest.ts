/**
 * Ingest: profiles pushed over HTTP become snapshots. Off by default: the
 * `ingest` binary does not exist yet, so this construct is tested with a stub zip.
 */
import { CfnOutput, Duration } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { Config } from './config';
import { prefixes } from './contract';
import { RustFunction } from './rust-function';
import { Storage } from './storage';

/** The ingest function of one tenant with its signed URL. */
export class IngestFunction extends Construct {
  readonly function: RustFunction;

  constructor(scope: Construct, id: string, config: Config, storage: Storage, tenant: string) {
    super(scope, id);
    this.function = new RustFunction(this, 'Function', {
      config,
      storage,
      binary: 'ingest',
      description: `Flambeau ingest: pushed profiles of tenant ${tenant}`,
      tenant,
      memoryMb: 512,
      timeout: Duration.seconds(30),
    });
    this.function.may(['s3:PutObject'], [storage.objects(prefixes.snapshots, tenant)]);
    const url = this.function.fn.addFunctionUrl({ authType: lambda.FunctionUrlAuthType.AWS_IAM });
    new CfnOutput(this, 'Url', { value: url.url, description: `Pushes for tenant ${tenant}` });
  }
}
