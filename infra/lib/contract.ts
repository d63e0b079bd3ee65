/**
 * What Rust and the stack must agree on. `contract.json` is written by a Rust
 * test from the constants themselves; nothing of it is repeated in TypeScript.
 */
import contract from './contract.json';

export { contract };

/** Environment variables, by what they mean. */
export const env = contract.environment;
/** Prefixes of the bucket. */
export const prefixes = contract.prefixes;
/** Lifetimes in days. */
export const days = contract.days;

/** The lifetimes that `checkLifetimes` orders. */
export type Lifetimes = Pick<typeof days, 'queue' | 'snapshots' | 'segments' | 'claims'>;

/**
 * Each thing must be outlived by what can still ask for it: a message names a
 * snapshot, a snapshot may be merged again into a segment, and the claim is what
 * keeps a second merge from counting twice.
 *
 * @throws when the order is broken, naming the pair.
 */
export function checkLifetimes(life: Lifetimes = days): void {
  const order: (keyof Lifetimes)[] = ['queue', 'snapshots', 'segments', 'claims'];
  order.slice(1).forEach((longer, index) => {
    const shorter = order[index]!;
    if (life[shorter] >= life[longer]) {
      throw new Error(
        `${shorter} live ${life[shorter]} days and ${longer} ${life[longer]}: ` +
          `${longer} must outlive ${shorter}, or a late message could be counted twice`,
      );
    }
  });
}

/** Percent-encodes one part of a key, as `flambeau_layout::name::encode_part` does. */
export function encodePart(name: string): string {
  const encode = (byte: number): string => {
    const letter = String.fromCharCode(byte);
    if (byte < 128 && contract.names.plain.includes(letter)) return letter;
    return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  };
  return [...Buffer.from(name, 'utf8')].map(encode).join('');
}

/** Checks a tenant's name. @throws when it is empty or too long. */
export function checkTenant(name: string): string {
  return checkName('tenant', name, contract.names.tenantBytes);
}

/** Checks a service's name. @throws when it is empty or too long. */
export function checkService(name: string): string {
  return checkName('service', name, contract.names.serviceBytes);
}

function checkName(what: string, name: string, limit: number): string {
  const bytes = Buffer.byteLength(name, 'utf8');
  if (bytes === 0) throw new Error(`${what} is empty`);
  if (bytes > limit) {
    throw new Error(`${what} "${name}" has ${bytes} bytes, more than the ${limit} allowed`);
  }
  return name;
}
