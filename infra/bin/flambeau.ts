/** The app: one stack, set by context. */
import { App } from 'aws-cdk-lib';
import { ConfigError, parseConfig } from '../lib/config';
import { FlambeauStack } from '../lib/stack';

try {
  const app = new App({ analyticsReporting: false });
  const config = parseConfig(app.node.getAllContext());
  new FlambeauStack(app, config.stackName, config);
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
