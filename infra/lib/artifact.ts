/** The zips that `infra/zips.sh` makes, looked at before they are deployed. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as zlib from 'node:zlib';
import { Annotations, CfnParameter, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

/** A processor a function runs on. */
export type Arch = 'arm64' | 'x86_64';

/** Where a function's code is. */
export interface Artifact {
  readonly code: lambda.Code;
  /** Not the function but a mark that it has not been built. */
  readonly isPlaceholder: boolean;
}

/** `e_machine` of ELF files, by processor. */
const MACHINES: Record<Arch, number> = { arm64: 183, x86_64: 62 };
/** Sections of a zip, by signature. */
const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_ENTRY = 0x02014b50;
const DIRECTORY_END = 0x06054b50;

/**
 * Finds `{folder}/{binary}/bootstrap.zip` and checks that Lambda can start it.
 * Where there is none, stands a placeholder in its place: the template can be
 * read and tested, but `cdk deploy` refuses it.
 *
 * @throws when the zip is there but holds no `bootstrap` for this processor.
 */
export function findArtifact(scope: Construct, folder: string, binary: string, arch: Arch): Artifact {
  const zip = path.resolve(folder, binary, 'bootstrap.zip');
  if (fs.existsSync(zip)) {
    checkBootstrap(zip, arch);
    return { code: lambda.Code.fromAsset(zip), isPlaceholder: false };
  }
  const build = 'build it with `infra/zips.sh` first';
  Annotations.of(scope).addWarningV2('flambeau:not-built', `${zip} is not there: ${build}`);
  refuseDeploying(Stack.of(scope));
  return { code: lambda.Code.fromAsset(path.join(__dirname, '..', 'placeholder')), isPlaceholder: true };
}

/** A parameter without a value stops `cdk deploy` before anything is changed. */
function refuseDeploying(stack: Stack): void {
  const id = 'TheFunctionsAreNotBuilt';
  if (stack.node.tryFindChild(id)) return;
  new CfnParameter(stack, id, {
    description: 'There are placeholders in place of functions: build them, and this parameter is gone.',
    allowedPattern: '^\\b$',
  });
}

/**
 * Checks that a zip holds an executable `bootstrap` for this processor.
 *
 * @throws naming the zip and what is wrong with it.
 */
export function checkBootstrap(zip: string, arch: Arch): void {
  const bytes = fs.readFileSync(zip);
  const refuse = (why: string): never => {
    throw new Error(`${zip} cannot be deployed: ${why}`);
  };
  const entry = entries(bytes).find(({ name }) => name === 'bootstrap');
  if (!entry) return refuse('it holds no file "bootstrap"');
  if ((entry.mode & 0o111) === 0) return refuse('its "bootstrap" is not executable');
  const head = firstBytes(bytes, entry.offset);
  if (head.length < 20 || head.readUInt32BE(0) !== 0x7f454c46) return refuse('its "bootstrap" is not an ELF program');
  const machine = head.readUInt16LE(18);
  if (machine !== MACHINES[arch]) {
    const found = (Object.keys(MACHINES) as Arch[]).find((name) => MACHINES[name] === machine);
    return refuse(`it was built for ${found ?? `machine ${machine}`}, but flambeau:arch is ${arch}`);
  }
}

interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly offset: number;
}

/** The entries of a zip without comment or ZIP64, by its central directory. */
function entries(zip: Buffer): Entry[] {
  const end = zip.lastIndexOf(Buffer.from('504b0506', 'hex'));
  if (end < 0 || end + 22 > zip.length || zip.readUInt32LE(end) !== DIRECTORY_END) return [];
  const found: Entry[] = [];
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left -= 1) {
    if (at + 46 > zip.length || zip.readUInt32LE(at) !== DIRECTORY_ENTRY) break;
    const nameBytes = zip.readUInt16LE(at + 28);
    const name = zip.toString('utf8', at + 46, at + 46 + nameBytes);
    found.push({ name, mode: zip.readUInt32LE(at + 38) >>> 16, offset: zip.readUInt32LE(at + 42) });
    at += 46 + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return found;
}

/** The first bytes of the file whose local header stands at `offset`. */
function firstBytes(zip: Buffer, offset: number): Buffer {
  if (offset + 30 > zip.length || zip.readUInt32LE(offset) !== LOCAL_HEADER) return Buffer.alloc(0);
  const start = offset + 30 + zip.readUInt16LE(offset + 26) + zip.readUInt16LE(offset + 28);
  const body = zip.subarray(start, start + 4096);
  if (zip.readUInt16LE(offset + 8) === 0) return body;
  return zlib.inflateRawSync(body, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
}
