/**
 * What the stack costs while nothing happens, counted in its own template.
 *
 *   npm run cost
 *
 * What traffic costs is `flambeau cost`'s to say. Prices stand once, in
 * crates/query/src/prices.rs, and are read from there.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { App } from 'aws-cdk-lib';
import { parseConfig } from '../lib/config';
import { contract } from '../lib/contract';
import { FlambeauStack } from '../lib/stack';

const MONTH_SECONDS = 730 * 3600;
/** Lambda asks an empty queue by long polls of this length… */
const POLL_SECONDS = 20;
/** …by five pollers, or by two where no maximum concurrency is set (AWS: "Configuring scaling behavior for SQS"). */
const POLLERS = { bounded: 5, free: 2 };
/** LISTs of an idle tick: the tenants, and per tenant its last days (functions/index/src/tick.rs). */
const LISTS = { always: 2, perTenant: 5 };
/** GB-seconds of an idle tick: 1 GB for a quarter of a second. Assumed, not measured on AWS. */
const TICK_GB_SECONDS = 0.25;

type Price = 'PUT' | 'SQS_REQUEST' | 'CALL' | 'GB_SECOND' | 'ALARM_MONTH';

/** Reads a constant like `pub const PUT: f64 = 5.0 / 1e6;`. */
function price(name: Price): number {
  const text = fs.readFileSync(path.join(__dirname, '..', '..', 'crates', 'query', 'src', 'prices.rs'), 'utf8');
  const found = new RegExp(`pub const ${name}: f64 = ([0-9._e-]+)(?: / ([0-9._e]+))?;`).exec(text);
  if (!found) throw new Error(`prices.rs has no ${name}`);
  const number = (digits: string): number => Number(digits.replaceAll('_', ''));
  return number(found[1]!) / (found[2] ? number(found[2]) : 1);
}

interface Resource {
  readonly Type: string;
  readonly Properties: Record<string, any>;
}

/** The template's resources of a type. */
function resources(): (type: string) => Resource[] {
  const outdir = fs.mkdtempSync(path.join(os.tmpdir(), 'flambeau-cost-'));
  const app = new App({ analyticsReporting: false, outdir });
  const config = parseConfig({});
  new FlambeauStack(app, config.stackName, config);
  const { template } = app.synth().getStackByName(config.stackName);
  fs.rmSync(outdir, { recursive: true });
  return (type) => (Object.values(template.Resources) as Resource[]).filter((one) => one.Type === type);
}

/** Lines of the bill: what, how many, dollars each. */
function idle(services: boolean): [string, number, number][] {
  const of = resources();
  const queues = of('AWS::Lambda::EventSourceMapping').filter(({ Properties }) => !Properties.StartingPosition);
  const pollers = queues.map(({ Properties }) => (Properties.ScalingConfig ? POLLERS.bounded : POLLERS.free));
  const polls = pollers.reduce((sum, one) => sum + one, 0) * (MONTH_SECONDS / POLL_SECONDS);
  const ticks = MONTH_SECONDS / 60 / contract.index.tickMinutes;
  return [
    ['alarms', of('AWS::CloudWatch::Alarm').length, price('ALARM_MONTH')],
    ['long polls of the queues', polls, price('SQS_REQUEST')],
    ['ticks of index', ticks, price('CALL') + TICK_GB_SECONDS * price('GB_SECOND')],
    ['LISTs of the ticks', ticks * (LISTS.always + (services ? LISTS.perTenant : 0)), price('PUT')],
  ];
}

for (const [title, services] of [['nothing was ever written', false], ['one tenant, gone quiet', true]] as const) {
  const lines = idle(services);
  const total = lines.reduce((sum, [, count, each]) => sum + count * each, 0);
  console.log(`| ${title} | a month | dollars |\n|---|---|---|`);
  for (const [what, count, each] of lines) {
    console.log(`| ${what} | ${Math.round(count).toLocaleString('en-US')} | ${(count * each).toFixed(3)} |`);
  }
  console.log(`| **together** | | **${total.toFixed(2)}** |\n`);
  if (total > 1) process.exitCode = 1;
}
