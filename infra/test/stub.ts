/** Stub zips and a synthesized stack, for tests that do not run functions. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as zlib from 'node:zlib';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { parseConfig } from '../lib/config';
import { FlambeauStack } from '../lib/stack';
import cdkJson from '../cdk.json';

/** A folder of its own, gone when the process ends. */
export function tempDir(): string {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flambeau-infra-'));
  process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** The first bytes of an ELF program for this machine. */
export function elf(machine: number): Buffer {
  const head = Buffer.alloc(64);
  head.writeUInt32BE(0x7f454c46, 0);
  head.writeUInt16LE(machine, 18);
  return head;
}

/** A zip of one file. */
export function zip(name: string, body: Buffer, { mode = 0o755, deflate = true } = {}): Buffer {
  const packed = deflate ? zlib.deflateRawSync(body) : body;
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(20, 0);
  fields.writeUInt16LE(deflate ? 8 : 0, 4);
  fields.writeUInt32LE(zlib.crc32(body), 10);
  fields.writeUInt32LE(packed.length, 14);
  fields.writeUInt32LE(body.length, 18);
  fields.writeUInt16LE(name.length, 22);
  const local = Buffer.concat([Buffer.from('504b0304', 'hex'), fields, Buffer.from(name), packed]);
  const tail = Buffer.alloc(14);
  tail.writeUInt32LE((0o100000 | mode) * 65536, 6);
  const made = Buffer.from([20, 3]);
  const entry = Buffer.concat([Buffer.from('504b0102', 'hex'), made, fields, tail, Buffer.from(name)]);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(entry.length, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, entry, end]);
}

/** A folder with stub zips of all functions and the layer. */
export function stubArtifacts(machine = 183): string {
  const dir = tempDir();
  for (const binary of ['merge', 'index', 'render', 'ingest']) {
    fs.mkdirSync(path.join(dir, binary));
    fs.writeFileSync(path.join(dir, binary, 'bootstrap.zip'), zip('bootstrap', elf(machine)));
  }
  fs.mkdirSync(path.join(dir, 'extensions'));
  fs.writeFileSync(path.join(dir, 'extensions', 'flambeau-extension.zip'), zip('extensions/flambeau', elf(machine)));
  return dir;
}

/** An app with the feature flags that the real one has. */
export function testApp(): App {
  return new App({ context: cdkJson.context, analyticsReporting: false, outdir: path.join(tempDir(), 'out') });
}

/** The stack with stub zips, unless the context says otherwise. */
export function testStack(context: Record<string, unknown> = {}, app = testApp()): FlambeauStack {
  const config = parseConfig({ 'flambeau:artifacts': stubArtifacts(), ...context });
  return new FlambeauStack(app, config.stackName, config);
}

/** One statement of a policy. */
export interface Statement {
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Condition?: Record<string, Record<string, unknown>>;
}

/** A template with what tests ask of it. */
export class Made {
  readonly template: Template;

  constructor(stack: Stack) {
    this.template = Template.fromStack(stack);
  }

  /** Properties of all resources of a type, by logical id. */
  all(type: string): Record<string, Record<string, any>> {
    return this.template.findResources(type) as Record<string, Record<string, any>>;
  }

  /** The only resource of a type whose logical id begins so. */
  one(type: string, id: string): Record<string, any> {
    const found = Object.entries(this.all(type)).filter(([name]) => name.startsWith(id));
    if (found.length !== 1) throw new Error(`${found.length} resources ${type} begin with ${id}`);
    return found[0]![1];
  }

  /** What a role may do: `action resource`, resources as readable text. */
  allowed(policy: string, type = 'AWS::IAM::Policy'): string[] {
    const statements: Statement[] = this.one(type, policy).Properties.PolicyDocument.Statement;
    const list = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);
    return statements
      .flatMap(({ Action, Resource }) => list(Action).flatMap((action) => list(Resource).map((arn) => `${action} ${readable(arn)}`)))
      .sort();
  }
}

/** An ARN as people say it: references become the names of their resources. */
export function readable(arn: unknown): string {
  if (typeof arn === 'string') return arn;
  const { Ref, 'Fn::GetAtt': att, 'Fn::Join': join } = arn as Record<string, any>;
  if (Ref) return `{${short(Ref)}}`;
  if (att) return `{${short(att[0])}${att[1] === 'Arn' ? '' : `.${att[1]}`}}`;
  if (join) return join[1].map(readable).join(join[0]);
  throw new Error(`not an ARN: ${JSON.stringify(arn)}`);
}

function short(logicalId: string): string {
  return logicalId.replace(/[0-9A-F]{8}$/, '');
}
