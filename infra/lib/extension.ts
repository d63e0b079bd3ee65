/**
 * The extension as a layer. Off by default: the extension does not exist yet, so
 * this construct is tested with a stub zip.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { CfnOutput, RemovalPolicy } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { Config } from './config';

/** A layer with the extension for one processor. Old versions stay: functions in use hold on to them. */
export class ExtensionLayer extends Construct {
  readonly layer: lambda.LayerVersion;

  /** @throws when the zip is not there: a layer without content helps nobody. */
  constructor(scope: Construct, id: string, config: Config) {
    super(scope, id);
    const zip = path.resolve(config.artifacts, 'extensions', 'flambeau-extension.zip');
    if (!fs.existsSync(zip)) throw new Error(`${zip} is not there: flambeau:extension needs the layer's zip`);
    this.layer = new lambda.LayerVersion(this, 'Layer', {
      description: 'Flambeau extension',
      code: lambda.Code.fromAsset(zip),
      compatibleArchitectures: [
        config.arch === 'arm64' ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
      ],
      removalPolicy: RemovalPolicy.RETAIN,
    });
    new CfnOutput(this, 'Arn', { value: this.layer.layerVersionArn });
  }
}
