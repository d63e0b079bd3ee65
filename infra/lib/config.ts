/** Settings of the stack, read from CDK context (`-c flambeau:arch=x86_64`, or cdk.json). */
import { checkTenant, contract } from './contract';

/** Prefix of every context key, so that a misspelt one is noticed. */
export const CONTEXT = 'flambeau:';

/** Another account that may write one tenant's snapshots. */
export interface WriterAccount {
  readonly account: string;
  readonly tenant: string;
}

/** Subnets and security groups the functions run in. */
export interface VpcPlace {
  readonly subnets: string[];
  readonly securityGroups: string[];
}

/** Everything that can be set; docs/deploy.md says what each does. */
export interface Config {
  readonly stage: 'dev' | 'prod';
  readonly arch: 'arm64' | 'x86_64';
  readonly stackName: string;
  readonly tenants: string[];
  readonly access: 'iam' | 'token';
  readonly gbSecond?: string;
  readonly artifacts: string;
  readonly bucketName?: string;
  readonly keyArn?: string;
  readonly tablePrefix: string;
  readonly writers: WriterAccount[];
  readonly vpc?: VpcPlace;
  readonly mergeBatch: number;
  readonly mergeWindowSeconds: number;
  readonly mergeConcurrency: number;
  readonly mergeMemoryMb: number;
  readonly indexMemoryMb: number;
  readonly renderMemoryMb: number;
  readonly logDays: number;
  readonly alarms: boolean;
  readonly alarmTopicArn?: string;
  readonly alarmEmail?: string;
  readonly dashboard: boolean;
  readonly ingest: boolean;
  readonly extension: boolean;
}

/** A setting that cannot be used. */
export class ConfigError extends Error {
  constructor(key: string, problem: string) {
    super(`${CONTEXT}${key} ${problem}`);
    this.name = 'ConfigError';
  }
}

/** Days that CloudWatch Logs takes as a retention. */
const LOG_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653];
/** An SQS event source hands over at most 6 MB; an S3 notification is about 1 KB. */
const MAX_BATCH = 2000;

type Raw = Readonly<Record<string, unknown>>;

/**
 * Reads and checks the settings.
 *
 * @param context all of the app's context; keys of others are left alone.
 * @throws ConfigError naming the key, what it is and what it may be.
 */
export function parseConfig(context: Raw): Config {
  const raw = own(context);
  const read = new Reader(raw);
  const stackName = read.match('stackName', 'Flambeau', /^[A-Za-z][A-Za-z0-9-]{0,95}$/, 'a stack name');
  const config: Config = {
    stage: read.oneOf('stage', 'dev', ['dev', 'prod'] as const),
    arch: read.oneOf('arch', 'arm64', ['arm64', 'x86_64'] as const),
    stackName,
    tenants: read.tenants(),
    access: read.oneOf('access', 'iam', ['iam', 'token'] as const),
    gbSecond: read.matchIf('gbSecond', /^0?\.\d*[1-9]\d*$/, 'a price in dollars, such as 0.0000133334'),
    artifacts: read.text('artifacts') ?? '../target/lambda',
    bucketName: read.matchIf('bucketName', /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'the name of a bucket'),
    keyArn: read.matchIf('keyArn', /^arn:[^:]+:kms:[^:]+:\d{12}:key\/.+$/, 'the ARN of a KMS key (not of an alias)'),
    tablePrefix: read.match('tablePrefix', stackName, /^[A-Za-z0-9_.-]{3,200}$/, 'a prefix of table names'),
    writers: read.writers(),
    vpc: read.vpc(),
    mergeBatch: read.whole('mergeBatch', 1000, 1, MAX_BATCH),
    mergeWindowSeconds: read.whole('mergeWindowSeconds', 20, 0, 300),
    mergeConcurrency: read.whole('mergeConcurrency', 10, 2, 1000),
    mergeMemoryMb: read.whole('mergeMemoryMb', 1024, 128, 10_240),
    indexMemoryMb: read.whole('indexMemoryMb', 1024, 128, 10_240),
    renderMemoryMb: read.whole('renderMemoryMb', 1769, 128, 10_240),
    logDays: read.logDays(),
    alarms: read.flag('alarms', true),
    alarmTopicArn: read.matchIf('alarmTopicArn', /^arn:[^:]+:sns:[^:]+:\d{12}:.+$/, 'the ARN of an SNS topic'),
    alarmEmail: read.matchIf('alarmEmail', /^[^@\s]+@[^@\s]+$/, 'an e-mail address'),
    dashboard: read.flag('dashboard', false),
    ingest: read.flag('ingest', false),
    extension: read.flag('extension', false),
  };
  read.refuseUnknown();
  checkTogether(config);
  return config;
}

function own(context: Raw): Raw {
  const keys = Object.keys(context).filter((key) => key.startsWith(CONTEXT));
  return Object.fromEntries(keys.map((key) => [key.slice(CONTEXT.length), context[key]]));
}

function checkTogether(config: Config): void {
  if (config.mergeBatch > 10 && config.mergeWindowSeconds === 0) {
    throw new ConfigError('mergeBatch', 'above 10 needs flambeau:mergeWindowSeconds of at least 1');
  }
  if (config.bucketName && config.writers.length > 0) {
    throw new ConfigError('writers', 'cannot be set with an existing bucket: its policy is not ours; see docs/deploy.md');
  }
  if (config.alarmTopicArn && config.alarmEmail) {
    throw new ConfigError('alarmEmail', 'is for the topic the stack makes; subscribe to flambeau:alarmTopicArn yourself');
  }
  const strangers = config.writers.filter((writer) => !config.tenants.includes(writer.tenant));
  if (strangers[0]) {
    throw new ConfigError('writers', `name tenant "${strangers[0].tenant}", which flambeau:tenants does not list`);
  }
}

/** Reads single settings; `-c` gives text only, cdk.json any JSON. */
class Reader {
  private readonly seen = new Set<string>();

  constructor(private readonly raw: Raw) {}

  text(key: string): string | undefined {
    const value = this.value(key);
    if (value === undefined || value === '') return undefined;
    if (typeof value !== 'string') throw this.wrong(key, value, 'text');
    return value;
  }

  match(key: string, fallback: string, form: RegExp, what: string): string {
    return this.matchIf(key, form, what) ?? fallback;
  }

  matchIf(key: string, form: RegExp, what: string): string | undefined {
    const value = this.text(key);
    if (value !== undefined && !form.test(value)) throw this.wrong(key, value, what);
    return value;
  }

  oneOf<T extends string>(key: string, fallback: T, known: readonly T[]): T {
    const value = this.text(key) ?? fallback;
    const found = known.find((one) => one === value);
    if (!found) throw this.wrong(key, value, known.map((one) => `"${one}"`).join(' or '));
    return found;
  }

  whole(key: string, fallback: number, least: number, most: number): number {
    const value = this.value(key) ?? fallback;
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > most) {
      throw this.wrong(key, value, `a whole number from ${least} to ${most}`);
    }
    return number;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    if (value === true || value === 'true') return true;
    if (value === false || value === 'false') return false;
    throw this.wrong(key, value, 'true or false');
  }

  logDays(): number {
    const days = this.whole('logDays', 14, 1, 3653);
    if (!LOG_DAYS.includes(days)) throw this.wrong('logDays', days, `one of ${LOG_DAYS.join(', ')}`);
    return days;
  }

  tenants(): string[] {
    const value = this.json('tenants') ?? contract.defaults.tenant;
    const tenants = typeof value === 'string' ? value.split(',').map((name) => name.trim()) : value;
    if (!isTexts(tenants) || tenants.length === 0) {
      throw this.wrong('tenants', value, 'names, as a list or separated by commas');
    }
    if (new Set(tenants).size < tenants.length) throw this.wrong('tenants', value, 'different names');
    try {
      return tenants.map(checkTenant);
    } catch (error) {
      throw new ConfigError('tenants', `holds a bad name: ${(error as Error).message}`);
    }
  }

  writers(): WriterAccount[] {
    const value = this.json('writers') ?? [];
    const form = 'a list like [{"account":"123456789012","tenant":"default"}]';
    if (!Array.isArray(value)) throw this.wrong('writers', value, form);
    return value.map((entry: unknown) => {
      const { account, tenant } = (entry ?? {}) as Partial<WriterAccount>;
      if (typeof account !== 'string' || !/^\d{12}$/.test(account) || typeof tenant !== 'string') {
        throw this.wrong('writers', value, form);
      }
      return { account, tenant: checkTenant(tenant) };
    });
  }

  vpc(): VpcPlace | undefined {
    const value = this.json('vpc');
    if (value === undefined) return undefined;
    const { subnets, securityGroups } = (value ?? {}) as Partial<VpcPlace>;
    if (!isTexts(subnets) || !isTexts(securityGroups) || !subnets.length || !securityGroups.length) {
      throw this.wrong('vpc', value, '{"subnets":["subnet-…"],"securityGroups":["sg-…"]}');
    }
    return { subnets, securityGroups };
  }

  refuseUnknown(): void {
    const unknown = Object.keys(this.raw).find((key) => !this.seen.has(key));
    if (unknown) {
      throw new ConfigError(unknown, `is not a setting; there are ${[...this.seen].sort().join(', ')}`);
    }
  }

  private value(key: string): unknown {
    this.seen.add(key);
    return this.raw[key];
  }

  private json(key: string): unknown {
    const value = this.value(key);
    if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value === '' ? undefined : value;
    try {
      return JSON.parse(value);
    } catch (error) {
      throw new ConfigError(key, `is not JSON: ${(error as Error).message}`);
    }
  }

  private wrong(key: string, value: unknown, wanted: string): ConfigError {
    return new ConfigError(key, `is ${JSON.stringify(value)}; it must be ${wanted}`);
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string' && one !== '');
}
