/** Everything together, in one stack: the parts name each other all the time. */
import { CfnOutput, Stack, StackProps } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { Alarms } from './alarms';
import { Config } from './config';
import { checkLifetimes } from './contract';
import { Dashboard } from './dashboard';
import { ExtensionLayer } from './extension';
import { IndexFunction } from './index-function';
import { IngestFunction } from './ingest';
import { MergeFunction } from './merge';
import { RenderFunction } from './render';
import { Storage } from './storage';
import { Writers } from './writers';

/** Alarms watch the first tenant's render only, so that their number and price stay fixed. */
export class FlambeauStack extends Stack {
  readonly storage: Storage;
  readonly merge: MergeFunction;
  readonly index: IndexFunction;
  readonly renders: RenderFunction[];
  readonly writers: Writers[];

  constructor(scope: Construct, id: string, readonly config: Config, props: StackProps = {}) {
    super(scope, id, { description: 'Flambeau: continuous profiling for AWS Lambda', ...props });
    checkLifetimes();
    this.storage = new Storage(this, 'Storage', config);
    this.merge = new MergeFunction(this, 'Merge', config, this.storage);
    this.index = new IndexFunction(this, 'Index', config, this.storage, this.merge);
    this.renders = config.tenants.map(
      (tenant, n) => new RenderFunction(this, numbered('Render', n), config, this.storage, tenant),
    );
    this.writers = config.tenants.map(
      (tenant, n) => new Writers(this, numbered('Writers', n), config, this.storage, tenant),
    );
    this.addOptional();
    new CfnOutput(this, 'BucketName', { value: this.storage.bucket.bucketName });
  }

  private addOptional(): void {
    const { config } = this;
    if (config.ingest) {
      config.tenants.forEach(
        (tenant, n) => new IngestFunction(this, numbered('Ingest', n), config, this.storage, tenant),
      );
    }
    if (config.extension) new ExtensionLayer(this, 'Extension', config);
    if (config.alarms) {
      const alarms = new Alarms(this, 'Alarms', config);
      this.merge.watch(alarms);
      this.index.watch(alarms);
      this.renders[0]!.watch(alarms, 'RenderFails');
    }
    if (config.dashboard) {
      new Dashboard(this, 'Dashboard', [
        { title: 'Merge', metrics: this.merge.metrics() },
        { title: 'Index', metrics: this.index.metrics() },
        ...this.renders.map((render) => ({ title: `Render ${render.tenant}`, metrics: render.metrics() })),
      ]);
    }
  }
}

/** The first one keeps the plain name, so that a second tenant replaces nothing. */
function numbered(name: string, n: number): string {
  return n === 0 ? name : `${name}${n + 1}`;
}
