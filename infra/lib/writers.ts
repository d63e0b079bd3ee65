/** What a role needs to write one tenant's snapshots: one action on one prefix. */
import { CfnOutput } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { acknowledgeWildcards } from './acknowledge';
import { Config } from './config';
import { prefixes } from './contract';
import { Storage } from './storage';

/** The managed policy that instrumented functions of one tenant attach. */
export class Writers extends Construct {
  readonly policy: iam.ManagedPolicy;

  constructor(scope: Construct, id: string, config: Config, storage: Storage, tenant: string) {
    super(scope, id);
    const snapshots = storage.objects(prefixes.snapshots, tenant);
    this.policy = new iam.ManagedPolicy(this, 'Policy', {
      description: `May write profiles of tenant ${tenant} for Flambeau`,
      statements: [
        new iam.PolicyStatement({ actions: ['s3:PutObject'], resources: [snapshots] }),
      ],
    });
    acknowledgeWildcards(this, [snapshots]);
    if (config.keyArn) {
      // S3 encrypts with the key in the writer's name.
      this.policy.addStatements(
        new iam.PolicyStatement({ actions: ['kms:GenerateDataKey'], resources: [config.keyArn] }),
      );
    }
    new CfnOutput(this, 'Arn', { value: this.policy.managedPolicyArn });
  }
}
